"""Every language reads the golden vectors of the contract."""

import json

import pytest

from tests.chaos.processes import ROOT
from tests.interop.languages import Language
from tests.interop.programs import Command

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]

VECTORS = ROOT / "proto" / "testdata" / "vectors"


@pytest.mark.requirement("VECTOR-1")
def test_every_golden_vector_reads_alike_from_both_encodings(language: Language) -> None:
    names = [each["name"] for each in json.loads((VECTORS / "index.json").read_text())["vectors"]]

    told = Command(language, "vectors", "--dir", str(VECTORS)).lines("vector")

    assert sorted(each["name"] for each in told) == sorted(names)
    assert [each for each in told if each["binary"] is not True or each["json"] is False] == []
