"""docs/how-to/testing.md is what works."""

from pathlib import Path
from typing import Any

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "how-to" / "testing.md").read_text()


def _run(block: int) -> dict[str, Any]:
    program: dict[str, Any] = {}
    source = PAGE.split("```python\n")[block + 1].partition("```")[0]
    exec(compile(source, "testing.md", "exec"), program)  # noqa: S102 # it is our own page
    return program


def test_the_tests_of_the_page_pass() -> None:
    program = _run(0)

    program["test_a_sign_up_sends_an_email_and_reminds_a_day_later"]()
    program["test_a_handler_by_itself"]()


def test_the_hooks_of_the_page_can_be_added() -> None:
    _run(1)["hooks"]()
