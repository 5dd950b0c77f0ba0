"""The dashboards and alerts in `deploy`, read as files."""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

from tests.observability.page import ROOT

RULES = ROOT / "deploy" / "prometheus" / "rules.yml"
RULES_TEST = RULES.with_name("rules_test.yml")
RUNBOOKS = ROOT / "docs" / "runbooks"
DASHBOARDS = sorted((ROOT / "deploy" / "grafana").glob("*.json"))
# What the variables of Grafana stand for in a check of the syntax.
_VARIABLES = {"$__rate_interval": "5m", "$__interval": "1m"}


class Query(NamedTuple):
    """An expression, and where it stands."""

    place: str
    expression: str


def alerts() -> list[dict[str, Any]]:
    """Return every alert."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def queries() -> list[Query]:
    """Return every expression of alerts and dashboards, with the variables of Grafana filled in."""
    found = [Query(rule["alert"], rule["expr"]) for rule in alerts()]
    for path in DASHBOARDS:
        found += _of_dashboard(path.stem, json.loads(path.read_text()))
    return found


def panels(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the panels of a dashboard, those in collapsed rows too."""
    for panel in dashboard["panels"]:
        yield panel
        yield from panel.get("panels", ())


def _of_dashboard(name: str, dashboard: dict[str, Any]) -> Iterator[Query]:
    for panel in panels(dashboard):
        for target in panel.get("targets", ()):
            yield Query(f"{name}: {panel['title']}", _filled(target["expr"]))
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            inner = re.fullmatch(r"label_values\((.+), \w+\)", variable["query"]["query"])
            assert inner, variable
            yield Query(f"{name}: variable {variable['name']}", _filled(inner[1]))


def _filled(expression: str) -> str:
    for variable, value in _VARIABLES.items():
        expression = expression.replace(variable, value)
    return re.sub(r"\$\w+", ".*", expression)
