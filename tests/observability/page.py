"""docs/observability.md: its table of metrics, which is the list of what exists."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "observability.md"
_ROW = re.compile(r"^\| `(?P<otel>[a-z_.]+)` \| `(?P<name>[a-z_]+)` \| (?P<kind>[a-z]+) \|(?P<labels>[^|]*)\|", re.MULTILINE)
_ADDED = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}


class Listed(NamedTuple):
    """A metric as the page has it. name: as Prometheus shows it, without what its type adds to the names of samples."""

    otel: str
    name: str
    kind: str
    labels: frozenset[str]

    def samples(self) -> set[str]:
        """Return the names that a query may use."""
        return {self.name.removesuffix("_total") + end for end in _ADDED[self.kind]}


def listed() -> dict[str, Listed]:
    """Return the metrics of the page by name."""
    rows = [
        Listed(row["otel"], row["name"], row["kind"], frozenset(re.findall(r"`([a-z_]+)`", row["labels"])))
        for row in _ROW.finditer(PAGE.read_text())
    ]
    return {row.name.removesuffix("_total"): row for row in rows}
