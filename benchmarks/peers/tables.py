"""Medians of rounds, ratios of Proto Jobs to a peer, and the table of both."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from benchmarks.pairs import column
from benchmarks.peers.figures import OURS, Figures

COLUMNS: Final = {
    "enqueue": "batch enqueue",
    "single": "one per call, 16 callers",
    "drain": "drain",
    "both": "both at once",
    "idle_p50_ms": "idle p50 ms",
    "idle_p99_ms": "idle p99 ms",
}
COSTS: Final = {
    "enqueue_store_us": "batch enqueue",
    "single_store_us": "one per call",
    "drain_store_us": "drain",
    "both_store_us": "both at once",
}


def summarise(rounds: Sequence[Figures]) -> dict[str, dict[str, Any]]:
    """Return median, minimum, maximum and values of every figure that some round has."""
    names = dict.fromkeys(name for figures in rounds for name in figures)
    columns = {name: [figures[name] for figures in rounds if name in figures] for name in names}
    return {name: column(values) for name, values in columns.items()}


def ratios(ours: Mapping[str, Mapping[str, Any]], theirs: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Return by what factor Proto Jobs does better, by the medians: more jobs per second, or a shorter wait; above 1 is better."""
    found: dict[str, float] = {}
    for name in COLUMNS:
        a, b = ours.get(name, {}).get("median"), theirs.get(name, {}).get("median")
        if a and b:
            found[name] = round(b / a if name.endswith("_ms") else a / b, 2)
    return found


def table(said: Mapping[str, Any]) -> str:
    """Return the result for people: speed, ratio, and CPU of PostgreSQL."""
    runners = said["runners"]
    load = said["load"]
    lines = [f"{load['jobs']} jobs, {load['seconds']:g} s, {said['rounds']} rounds, {said['cpus']} CPUs ({said['cpu']})"]
    lines += ["", "jobs/s, median (min - max)", _row("", COLUMNS.values())]
    lines += [_row(name, [_cell(each["figures"].get(column)) for column in COLUMNS]) for name, each in runners.items()]
    lines += ["", f"{OURS} against each peer; above 1 is better", _row("", COLUMNS.values())]
    for name, each in runners.items():
        if name != OURS:
            lines.append(_row(name, [f"{each['ratios'][column]:.2f}" if column in each["ratios"] else "-" for column in COLUMNS]))
    lines += ["", "CPU of PostgreSQL, us a job", _row("", COSTS.values())]
    lines += [_row(name, [_cell(each["figures"].get(column)) for column in COSTS]) for name, each in runners.items()]
    lines += ["", *(f"{name:<14} {each['version']}: {each['setup']}; {each['verdict']}" for name, each in runners.items())]
    lines += [f"{name:<14} not here: {why}" for name, why in said["missing"].items()]
    lines.append(f"{'durability':<14} {', '.join(f'{name}={value}' for name, value in said['durability'].items())}")
    return "\n".join(lines)


def _row(name: str, cells: Iterable[str]) -> str:
    return f"{name:<14}" + "".join(f"{cell:>26}" for cell in cells)


def _cell(column: Mapping[str, Any] | None) -> str:
    """Return the median of a figure, and its bounds if there are any."""
    if column is None:
        return "-"
    low, middle, high = (_short(column[name]) for name in ("min", "median", "max"))
    return middle if len(column["values"]) == 1 else f"{middle} ({low} - {high})"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"
