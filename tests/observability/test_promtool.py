"""Prometheus's own checker reads the alerts, the queries of the dashboards, and what a server says."""

import subprocess
from pathlib import Path

import yaml

from tests.observability.shipped import RULES, RULES_TEST, queries


def _run(promtool: Path, *arguments: str | Path, given: str = "") -> None:
    done = subprocess.run(
        [promtool, *arguments], input=given, capture_output=True, text=True, check=False, cwd=RULES.parent, timeout=50
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_are_valid(promtool: Path) -> None:
    _run(promtool, "check", "rules", RULES.name)


def test_every_alert_fires_where_it_should_and_nowhere_else(promtool: Path) -> None:
    _run(promtool, "test", "rules", RULES_TEST.name)


def test_the_metrics_of_a_server_are_as_prometheus_wants_them(promtool: Path, metrics_text: str) -> None:
    _run(promtool, "check", "metrics", given=metrics_text)


def test_every_query_of_the_dashboards_is_valid(promtool: Path, tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": query.expression} for number, query in enumerate(queries())]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))

    _run(promtool, "check", "rules", file)
