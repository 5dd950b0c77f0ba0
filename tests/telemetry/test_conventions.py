"""Names are those of the semantic conventions, in a release that is written down beside this file, or begin with ours."""

from pathlib import Path
from types import ModuleType

import protojobs_client.conventions
import protojobs_service.conventions
import pytest

from tests.telemetry import golden

_KEYS = frozenset((Path(__file__).parent / "semconv-1.44.txt").read_text().splitlines())
_VALUES = {key.split()[1] for key in _KEYS if not key.startswith("#")}


@pytest.mark.parametrize("module", [protojobs_client.conventions, protojobs_service.conventions])
def test_every_constant_is_a_name_of_the_conventions_or_ours(module: ModuleType) -> None:
    names = {value for name, value in vars(module).items() if name.isupper() and name != "SCHEMA_URL" and isinstance(value, str)}

    assert {name for name in names if not name.startswith("protojobs.")} <= _VALUES
    assert module.SCHEMA_URL.endswith("/1.44.0")


@pytest.mark.parametrize("scenario", golden.scenarios())
def test_what_is_sent_has_no_other_names(scenario: str) -> None:
    told = golden.read(scenario)

    attributes = {name for each in (*told["spans"], *told["metrics"]) for name in each["attributes"]}
    metrics = {each["name"] for each in told["metrics"]}
    assert {f"attribute {name}" for name in attributes if not name.startswith("protojobs.")} <= _KEYS
    assert {f"metric {name}" for name in metrics} <= _KEYS
    # A metric with a series for each job or worker would grow without end.
    series = {name for each in told["metrics"] for name in each["attributes"]}
    assert not series & {"messaging.message.id", "messaging.client.id"}
