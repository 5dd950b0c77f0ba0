"""The README shows what is in the repository."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("name", ["hello_worker", "hello_producer"])
def test_the_readme_shows_the_example_as_it_is(name: str) -> None:
    code = (ROOT / "examples" / f"{name}.py").read_text().rstrip()

    assert code in (ROOT / "README.md").read_text()


def test_every_link_of_the_docs_points_to_something() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    broken = [
        f"{page.name}: {target}"
        for page in pages
        for target in _links(page.read_text())
        if not target.startswith(("http", "#")) and not (page.parent / target.partition("#")[0]).exists()
    ]

    assert broken == []


def _links(text: str) -> list[str]:
    return [part.partition(")")[0] for part in text.split("](")[1:]]
