"""The requirements that the tests name are those of the page, and all of them."""

import re
from pathlib import Path

from tests.chaos.processes import ROOT

PAGE = (ROOT / "clients" / "README.md").read_text()
HERE = Path(__file__).resolve().parent


def test_every_requirement_of_the_page_is_proved_here_or_said_to_be_proved_by_each_client() -> None:
    required = set(re.findall(r"^\| ([A-Z]+-\d+) \|", PAGE, re.MULTILINE))
    texts = [path.read_text() for path in HERE.glob("test_*.py")]
    marks = [names for text in texts for names in re.findall(r"mark\.requirement\(([^)]*)\)", text)]

    proved = {name for names in marks for name in re.findall(r'"([A-Z]+-\d+)"', names)}

    assert proved == required
