"""What docs/how-to/keda.md tells people to write is what the server reads."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from protojobs_service.domain.errors import InvalidField
from protojobs_service.settings import load
from protojobs_service.transport.scaler_servicer import METRIC
from protojobs_service.transport.scaler_trigger import parse_trigger

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "how-to" / "keda.md").read_text()


def _triggers() -> list[dict[str, str]]:
    """Return the metadata of every trigger on the page."""
    blocks: list[Any] = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
    places = [block.get("spec", block) for block in blocks]
    return [trigger["metadata"] for place in places for trigger in place.get("triggers", ())]


def _table(heading: str) -> list[list[str]]:
    """Return the rows of the table under a heading, without its first two lines."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def test_every_trigger_is_one_that_the_server_takes() -> None:
    triggers = _triggers()

    assert [parse_trigger(metadata).share.queues[0] for metadata in triggers] == ["mail", "render", "mail"]


def test_every_key_is_known_and_what_it_is_without_being_said() -> None:
    rows = {key.strip("`"): default.strip("`") for key, default, _ in _table("What a trigger says")}
    said = {key: default for key, default in rows.items() if default not in {"required", "all"}}

    assert parse_trigger({"queues": "mail", **said}) == parse_trigger({"queues": "mail"})
    assert {key for key, default in rows.items() if default == "required"} == {"queues"}
    with pytest.raises(InvalidField) as refused:
        parse_trigger({"other": ""})
    assert refused.value.detail == f"is not known; there are {', '.join(rows)}"


def test_the_settings_are_those_of_the_server() -> None:
    names = {name.strip("`") for row in _table("Switch it on") for name in row[0].partition(".")[0].split(",")}
    settings = load(scaler_port=6000)

    assert names == {"scaler_port", "scaler_host", "scaler_tls"}
    assert names <= set(type(settings).model_fields)
    assert settings.listener("scaler").port == 6000


def test_the_metric_has_the_name_that_kubernetes_shows() -> None:
    assert f"`{METRIC}`" in PAGE
