"""What others notice: single jobs at a steady rate, first alone, then beside something that disturbs."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from protojobs_client import Client

from benchmarks.light import refused, without_hint
from benchmarks.pings import Pings
from benchmarks.run import Load, Phase, Result, conclude
from benchmarks.stack import QUEUE, Stack

MOST_TIMES: Final = 2.0
"""How much longer others may wait, at p99."""
OTHERS_WITHIN_S: Final = 120.0


class Others:
    """Callers who do nothing unusual: one producer, one worker. spread: over how many queues; also: what their worker reads too."""

    def __init__(self, stack: Stack, client: Client, load: Load, *, spread: int = 1, also: Sequence[str] = ()) -> None:
        self._stack, self._client = stack, client
        self._load = replace(load, producers=1, workers=1)
        self._spread = spread
        self._also = also

    def run(self, name: str, disturb: Callable[[], None], end: Callable[[], None]) -> Phase:
        """Send jobs for the seconds of the load. The disturbance begins before, and ends after the last one has been sent."""
        queue, seconds = f"{QUEUE}-{name}", self._load.seconds
        of = [f"{queue}.{number}" for number in range(self._spread)] if self._spread > 1 else [queue]
        phase = Phase(self._stack, self._client, self._load, queue, of)
        phase.start_workers(queues=[*of, *self._also])
        disturb()
        phase.begin()
        jobs = int(self._load.others * seconds)
        spread = {"spread": [f"{queue}.", self._spread]} if self._spread > 1 else {}
        with Pings(self._stack, queue):
            phase.produce(jobs=jobs, interval=1 / self._load.others, within=seconds + OTHERS_WITHIN_S, streaming=True, **spread)
        end()
        phase.wait()
        phase.finish("ran")
        return phase


def compare_with_calm(
    others: Others,
    stack: Stack,
    load: Load,
    disturb: Callable[[], None],
    end: Callable[[], None],
    *,
    more: Sequence[Phase] = (),
    refuses: bool = False,
) -> Result:
    """Run the others twice, and say what the disturbance was to them and to the server's memory.

    more: what disturbs, where it is judged as well. refuses: it asks for more than the server may take.
    """
    calm = others.run("calm", lambda: None, lambda: None)
    stack.forget_peak()
    before_mb = stack.server_rss_mb()
    beside = others.run("beside", disturb, end)
    grown_mb = round(stack.server_peak_mb() - before_mb, 1)
    report, history, outcomes = conclude([calm, beside, *more])
    first, second, *disturbers = outcomes
    p99 = [outcome.figures["dispatch_to_start_ms"]["p99"] for outcome in (first, second)]
    times = round(p99[1] / p99[0], 2)
    refusals = refused(history)
    wrong = [f"others wait {times:g} times as long at p99"] if times >= MOST_TIMES else []
    wrong += [f"the server grew by {grown_mb:g} MB"] if grown_mb > load.memory else []
    wrong += without_hint(refusals)
    if refuses and not refusals["refused"]:
        wrong.append("nothing was refused")
    figures: dict[str, Any] = {
        "others_p99_times": times,
        "times_below": MOST_TIMES,
        "server_grew_mb": grown_mb,
        "grows_at_most_mb": load.memory,
        **refusals,
        "messages": [event.data["messages"] for event in history.events if "messages" in event.data],
        "kept": not wrong,
        "repeated_runs": report.repeated_runs,
        "calm": {**first.row(), "ping_ms": Pings.read(history, calm.queue)},
        "beside": {**second.row(), "ping_ms": Pings.read(history, beside.queue)},
        **{phase.queue: outcome.row() for phase, outcome in zip(more, disturbers, strict=True)},
    }
    lost = sum(outcome.lost for outcome in outcomes)
    return Result(report=report, jobs=second.jobs, seconds=second.seconds, lost=lost, wrong=wrong, figures=figures)
