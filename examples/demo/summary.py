"""The demo's last page: what ran, how long it waited, how fast, and where to go from here."""

from collections.abc import Sequence
from statistics import median

from protojobs_client import JobInfo
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from examples.demo.play import Cast, look_at


def show(cast: Cast, console: Console) -> None:
    """Print the summary."""
    table = Table(title="What ran", title_justify="left", header_style="bold")
    for column in ("kind", "jobs", "state", "attempts", "waited (median)", "ran (median)"):
        table.add_column(column, justify="left" if column in {"kind", "state"} else "right")
    for kind, job_ids in cast.jobs.items():
        jobs = look_at(cast, job_ids)
        states = ", ".join(sorted({job.state.value for job in jobs}))
        attempts = str(max(job.attempt for job in jobs))
        table.add_row(kind, str(len(jobs)), states, attempts, _span(_waits(jobs)), _span(_runs(jobs)))
    words = next(queue for queue in cast.client.stats("words").queues)
    table.add_row("CountWord", str(words.completed), "completed", "1", "", "")
    console.print(table)
    console.print(
        Panel(
            f"[bold]{cast.words_per_second:,.0f} tiny jobs/s[/] dispatched, run and confirmed, one worker and one server on this "
            f"machine, {cast.stage.driver}\n"
            f"[bold]Work:[/] {cast.notes['done']}\n"
            f"[bold]Killed worker:[/] {cast.notes['killed']}\n"
            f"[bold]Failed job:[/] {cast.notes['retried']}",
            title="What happened",
            title_align="left",
        )
    )
    console.print(
        "Next: [bold].venv/bin/protojobs dev[/] runs a server here; examples/jobs.py has these jobs; "
        "docs/quickstart.md writes your own in 20 lines; docs/guarantees.md says what is promised."
    )


def _waits(jobs: Sequence[JobInfo]) -> list[float]:
    first_runs = [job for job in jobs if job.attempt == 1 and job.started_at and job.created_at]
    return [(job.started_at - job.created_at).total_seconds() for job in first_runs if job.started_at and job.created_at]


def _runs(jobs: Sequence[JobInfo]) -> list[float]:
    return [(job.finished_at - job.started_at).total_seconds() for job in jobs if job.finished_at and job.started_at]


def _span(seconds: Sequence[float]) -> str:
    if not seconds:
        return ""
    middle = median(seconds)
    return f"{middle * 1000:.0f} ms" if middle < 1 else f"{middle:.1f} s"
