"""Runs two variants in turn, so that what the machine does meanwhile falls on both, and compares their figures.

B is this checkout as asked for. A is another checkout, with its own environment in `.venv`, or this one without the extras. Every
second pair begins with B. Nothing else may run on the machine.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final, cast

from benchmarks.programs import ROOT

_SAME_FOR_BOTH: Final = frozenset({"load", "durability", "versions", "extras", "cpus"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One variant: a checkout, its Python, and the arguments of a run."""

    name: str
    home: Path
    python: Path
    arguments: Sequence[str]

    def run(self) -> dict[str, Any]:
        """Run it once and return what it said. Raises RuntimeError if that is no result."""
        command: list[str | Path] = [self.python, "-m", "benchmarks", *self.arguments, "--json"]
        done = subprocess.run(command, cwd=self.home, capture_output=True, text=True, check=False)
        try:
            said: dict[str, Any] = json.loads(done.stdout)
        except ValueError:
            raise RuntimeError(f"{self.name} ended with {done.returncode}:\n{done.stderr[-3000:]}") from None
        return {**said, "kept": done.returncode == 0}


def here(name: str, arguments: Sequence[str]) -> Side:
    """Return a variant of this checkout."""
    return Side(name=name, home=ROOT, python=Path(sys.executable), arguments=arguments)


def there(home: Path, arguments: Sequence[str]) -> Side:
    """Return a variant of another checkout. Raises ValueError if that has no environment."""
    python = home / ".venv" / "bin" / "python"
    if not python.exists():
        raise ValueError(f"{home} has no environment: run `make bench` there once")
    return Side(name=str(home), home=home, python=python, arguments=arguments)


def compare(a: Side, b: Side, count: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """Run both so many times and return the figures that both have: values, medians, and the median of the ratios B / A of a pair.

    `tell` hears of each run.
    """
    runs: dict[str, list[dict[str, Any]]] = {"A": [], "B": []}
    sides = [("A", a), ("B", b)]
    for number in range(count):
        for letter, side in sides if number % 2 == 0 else reversed(sides):
            said = side.run()
            runs[letter].append(said)
            tell(f"pair {number + 1} of {count}, {letter}: {said['jobs_per_s']:,.0f} jobs/s, {said['verdict']}")
    values = {letter: [dict(numbers(said)) for said in all_said] for letter, all_said in runs.items()}
    common = [name for name in values["A"][0] if all(name in one for one in [*values["A"], *values["B"]])]
    return {
        "A": {"name": a.name, "arguments": list(a.arguments), "versions": runs["A"][0]["versions"]},
        "B": {"name": b.name, "arguments": list(b.arguments), "versions": runs["B"][0]["versions"]},
        "pairs": count,
        "kept": all(said["kept"] for said in [*runs["A"], *runs["B"]]),
        "verdicts": {letter: [said["verdict"] for said in all_said] for letter, all_said in runs.items()},
        "figures": {name: _row([one[name] for one in values["A"]], [one[name] for one in values["B"]]) for name in common},
    }


def table(said: Mapping[str, Any]) -> str:
    """Return a comparison for people."""
    lines = [f"A: {said['A']['name']}", f"B: {said['B']['name']}", f"{said['pairs']} pairs"]
    lines.append(f"  {'':<44}{'A median':>12}{'min - max':>22}{'B median':>12}{'min - max':>22}{'B / A':>8}")
    for name, row in said["figures"].items():
        cells = "".join(f"{row[letter]['median']:>12,.5g}{_span(row[letter]):>22}" for letter in ("A", "B"))
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.3f}"
        lines.append(f"  {name:<44}{cells}{ratio:>8}")
    lines += [f"  {letter}: {verdict}" for letter, verdicts in said["verdicts"].items() for verdict in sorted(set(verdicts))]
    return "\n".join(lines)


def _span(column: Mapping[str, float]) -> str:
    return f"{column['min']:,.5g} - {column['max']:,.5g}"


def _row(a: Sequence[float], b: Sequence[float]) -> dict[str, Any]:
    ratios = [theirs / ours for ours, theirs in zip(a, b, strict=True) if ours]
    return {"A": column(a), "B": column(b), "ratio": round(median(ratios), 4) if len(ratios) == len(a) else None}


def column(values: Sequence[float]) -> dict[str, Any]:
    """Return median, minimum, maximum and the values."""
    return {"median": median(values), "min": min(values), "max": max(values), "values": list(values)}


def numbers(said: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Yield the figures of a result by their path."""
    for name, value in said.items():
        if isinstance(value, Mapping):
            if name not in _SAME_FOR_BOTH:
                yield from numbers(cast("Mapping[str, Any]", value), f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool) and name not in _SAME_FOR_BOTH:
            yield f"{prefix}{name}", value
