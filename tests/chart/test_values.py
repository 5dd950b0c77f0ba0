"""Values, their schema and their descriptions know of each other."""

import json
from collections.abc import Iterator
from typing import Any

from protojobs_service.settings import Settings

from deploy.helm.generate import settings_schema, values
from tests.chart.rendering import CHART

SCHEMA = json.loads((CHART / "values.schema.json").read_text())


def _leaves(schema: dict[str, Any], path: str = "") -> Iterator[str]:
    if "$ref" in schema:
        schema = SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    if "properties" not in schema:
        yield path
    for name, each in schema.get("properties", {}).items():
        yield from _leaves(each, f"{path}.{name}".lstrip("."))


def _names(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
        for each in schema.values():
            yield from _names(each)
    elif isinstance(schema, list):
        for each in schema:
            yield from _names(each)


def test_every_value_that_the_schema_knows_is_described() -> None:
    described = [value.path for value in values()]

    unknown = [leaf for leaf in _leaves(SCHEMA) if not any(f"{leaf}.".startswith(f"{path}.") for path in described)]

    assert unknown == []


def test_no_secret_can_be_written_into_the_configuration() -> None:
    names = set(_names(settings_schema()))

    assert {"dsn", "password", "username", "outbox_dsn"} <= set(_names(Settings.model_json_schema()))
    assert not {"dsn", "password", "username", "outbox_dsn"} & names
    assert {"driver", "kafka", "limits", "auth"} <= names


def test_objects_of_the_schema_refuse_what_they_do_not_know() -> None:
    def loose(schema: Any, path: str) -> Iterator[str]:
        if isinstance(schema, dict):
            if "properties" in schema and schema.get("type") == "object" and "additionalProperties" not in schema:
                yield path
            for name, each in schema.items():
                if name not in {"if", "then", "else", "allOf", "anyOf"}:
                    yield from loose(each, f"{path}.{name}")

    assert list(loose(SCHEMA, "")) == [".properties.global"]  # charts around this one share it
