"""The gate on CPU per job: fails if this checkout needs more than another one, by more than so many per cent.

    make bench-check AGAINST=../main

Runs each scenario in pairs, in turn with the other checkout, and judges the median of the ratios. CPU rather than jobs per second,
for it hardly moves when a neighbour takes the machine.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, get_args

from benchmarks import pairs
from benchmarks.drivers import Driver

LIMIT_PERCENT: Final = 10.0
PAIRS: Final = 3
DRAIN_JOBS: Final = 100_000
BOTH_S: Final = 8.0
SCENARIOS: Final = ("drain", "both")

_FIGURE: Final = "cpu_s_per_1000_jobs."
_ALL: Final = f"{_FIGURE}all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a scenario came to.

    ratios: CPU per job of this checkout to that of the other one, by who used it. why: what is wrong, empty if all is well.
    """

    scenario: str
    ratios: Mapping[str, float]
    why: str

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {_change(ratio)}" for name, ratio in self.ratios.items())
        return f"{self.scenario}: CPU per job: {parts}: {self.why or 'good'}"


def judge(scenario: str, said: Mapping[str, Any], limit_percent: float) -> Verdict:
    """Return the verdict on a comparison of `pairs`: broken promises fail as well as too much CPU, of all together."""
    rows = {name: row["ratio"] for name, row in said["figures"].items() if name.startswith(_FIGURE)}
    ratios = {name.removeprefix(_FIGURE): ratio for name, ratio in rows.items() if ratio is not None}
    if not said["kept"]:
        why = "; ".join(sorted({verdict for verdicts in said["verdicts"].values() for verdict in verdicts}))
    elif rows.get(_ALL) is None:
        why = "no CPU was measured: give it more jobs"
    elif rows[_ALL] > 1 + limit_percent / 100:
        why = f"above the limit of +{limit_percent:g} %"
    else:
        why = ""
    return Verdict(scenario=scenario, ratios=ratios, why=why)


def check(chosen: argparse.Namespace, tell: Callable[[str], None]) -> list[Verdict]:
    """Compare the scenarios one after the other. `tell` hears of each run, and of the figures of each scenario."""
    verdicts: list[Verdict] = []
    load = {"drain": ["--jobs", str(chosen.jobs)], "both": ["--seconds", str(chosen.seconds)]}
    for scenario in chosen.scenarios:
        arguments = ["--scenario", scenario, "--driver", chosen.driver, *load[scenario]]
        a, b = pairs.there(chosen.against.resolve(), arguments), pairs.here("this checkout", arguments)
        said = pairs.compare(a, b, chosen.pairs, tell)
        tell(pairs.table(said))
        verdicts.append(judge(scenario, said, chosen.limit))
    return verdicts


def _change(ratio: float) -> str:
    return f"{(ratio - 1) * 100:+.1f} %"


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, and print the verdicts; 0 if no scenario is above the limit and every promise was kept."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.check", description="Fail if CPU per job has grown.", allow_abbrev=False
    )
    parser.add_argument(
        "--against", type=Path, required=True, metavar="PATH", help="the checkout to compare with; it has its environment"
    )
    parser.add_argument("--driver", choices=get_args(Driver), default="postgres")
    parser.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=SCENARIOS)
    parser.add_argument("--pairs", type=int, default=PAIRS, metavar="N", help=f"runs of each, in turn (default {PAIRS})")
    parser.add_argument("--jobs", type=int, default=DRAIN_JOBS, help=f"of drain (default {DRAIN_JOBS})")
    parser.add_argument("--seconds", type=float, default=BOTH_S, help=f"of both (default {BOTH_S:g})")
    parser.add_argument(
        "--limit", type=float, default=LIMIT_PERCENT, metavar="PERCENT", help=f"how much more (default {LIMIT_PERCENT:g})"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    chosen = parser.parse_args(arguments)
    try:
        verdicts = check(chosen, lambda line: print(line, file=sys.stderr))
    except ValueError as error:
        parser.error(str(error))
    print(json.dumps([asdict(each) for each in verdicts], indent=2) if chosen.json else "\n".join(map(str, verdicts)))
    return 1 if any(each.why for each in verdicts) else 0


if __name__ == "__main__":
    sys.exit(main())
