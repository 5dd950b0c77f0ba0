"""Values that cannot be are refused before anything is installed, and the message names the value."""

import re
from pathlib import Path
from typing import Final

import pytest

from tests.chart.rendering import Refused, render

# Each file begins with the lines `# over FILE` (the values that it changes) and `# refused: WORDS` (what Helm must say).
NEGATIVES: Final = sorted((Path(__file__).parent / "negative").glob("*.yaml"))
_CI: Final = Path(__file__).resolve().parents[2] / "deploy" / "helm" / "protojobs" / "ci"


@pytest.mark.parametrize("values", NEGATIVES, ids=lambda path: path.stem)
def test_values_that_cannot_be_are_refused(helm: Path, values: Path) -> None:
    over, refused = (line.partition(" ")[2] for line in values.read_text().splitlines()[:2])
    base = _CI / f"{over.removeprefix('over ')}-values.yaml"

    with pytest.raises(Refused) as told:
        render(helm, base, values)

    message = re.sub(r"\s+", " ", str(told.value).replace("'", "").replace("/", "."))
    assert refused.removeprefix("refused: ") in message


def test_the_chart_alone_says_what_it_needs(helm: Path) -> None:
    with pytest.raises(Refused, match=re.escape("tls.enabled: servers in a cluster listen beyond their machine")):
        render(helm)
