"""Dashboards and alerts name metrics that exist, and every alert can be acted upon."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.observability.page import PAGE, ROOT, listed
from tests.observability.promql import Selected, grouped, selected
from tests.observability.shipped import DASHBOARDS, RULES_TEST, RUNBOOKS, Query, alerts, panels, queries

_OF_THE_SCRAPE = {"job", "instance", "le"}


def _samples() -> dict[str, frozenset[str]]:
    """Return the labels of every name that a query may use."""
    return {name: row.labels for row in listed().values() for name in row.samples()}


@pytest.mark.parametrize("query", queries(), ids=lambda query: query.place)
def test_every_metric_and_label_of_a_query_is_one_that_a_server_has(query: Query) -> None:
    samples = _samples()
    used = list(selected(query.expression))

    assert used
    assert {each.name for each in used} <= samples.keys()
    assert all(each.labels <= samples[each.name] | _OF_THE_SCRAPE for each in used)
    assert grouped(query.expression) <= frozenset().union(*(samples[each.name] for each in used)) | _OF_THE_SCRAPE


def test_names_are_read_out_of_promql_whatever_stands_around_them() -> None:
    expression = (
        'histogram_quantile(0.95, sum by (le, queue) (rate(a_bucket{queue=~"b{c}", x!="y"}[5m]))) > 1e3 '
        "and on (job) max_over_time(d:e[1h] offset 5m) / f == bool 0"
    )

    assert list(selected(expression)) == [
        Selected("a_bucket", frozenset({"queue", "x"})),
        Selected("d:e", frozenset()),
        Selected("f", frozenset()),
    ]
    assert grouped(expression) == {"le", "queue", "job"}


def test_every_label_that_a_text_of_an_alert_shows_is_left_by_its_expression() -> None:
    for rule in alerts():
        shown = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
        assert shown <= grouped(rule["expr"]), rule["alert"]


def test_every_alert_has_its_runbook_its_line_on_the_page_and_a_test_and_no_page_is_left_over() -> None:
    names = [rule["alert"] for rule in alerts()]
    tested = {
        test["alertname"]
        for group in yaml.safe_load(RULES_TEST.read_text())["tests"]
        for test in group["alert_rule_test"]
        if test["exp_alerts"]
    }
    kept_still = {
        test["alertname"]
        for group in yaml.safe_load(RULES_TEST.read_text())["tests"]
        for test in group["alert_rule_test"]
        if not test["exp_alerts"]
    }

    assert len(names) == len(set(names))
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == set(names) == tested == kept_still
    assert re.findall(r"^\| \[(\w+)\]\(runbooks/\1\.md\)", PAGE.read_text(), re.MULTILINE) == names


def test_every_alert_says_what_it_is_how_bad_and_where_its_runbook_lies() -> None:
    for rule in alerts():
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
        assert rule["annotations"]["runbook_url"] == f"docs/runbooks/{rule['alert']}.md"
        assert (ROOT / rule["annotations"]["runbook_url"]).exists()


def test_there_is_a_dashboard() -> None:
    assert [path.name for path in DASHBOARDS] == ["protojobs.json"]


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_can_be_imported_anywhere(path: Path) -> None:
    dashboard = json.loads(path.read_text())
    found = list(panels(dashboard))
    ids = [panel["id"] for panel in found]

    assert dashboard["id"] is None
    assert dashboard["uid"]
    assert dashboard["schemaVersion"] >= 39
    assert "__inputs" not in dashboard
    assert len(ids) == len(set(ids))
    assert [variable["name"] for variable in dashboard["templating"]["list"]] == ["datasource", "job", "instance", "queue", "kind"]
    assert all(_sources(panel) <= {"${datasource}"} for panel in found)
    assert [panel["title"] for panel in found if panel["type"] == "row"] == [
        "Service level",
        "Queues",
        "Workers",
        "Store",
        "RPC",
        "Scheduler, timers and outbox",
    ]


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_no_two_panels_of_a_dashboard_cover_each_other(path: Path) -> None:
    cells: set[tuple[int, int]] = set()
    for panel in json.loads(path.read_text())["panels"]:
        place = panel["gridPos"]
        mine = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert place["x"] + place["w"] <= 24
        assert cells.isdisjoint(mine), panel["title"]
        cells |= mine


def _sources(panel: dict[str, Any]) -> set[str]:
    holders = [panel, *panel.get("targets", ())]
    return {holder["datasource"]["uid"] for holder in holders if "datasource" in holder}
