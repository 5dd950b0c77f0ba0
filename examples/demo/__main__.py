"""Run the demo: `make demo`."""

import os
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from examples.demo import play, summary
from examples.demo.stage import Stage, store_of

ACTS = (
    ("Dispatch real work: mails, pictures, a clean-up, a payment that will fail", play.dispatch_real_work),
    ("Kill a worker in the middle of a job (SIGKILL)", play.kill_a_worker),
    ("Let a job fail, find it in the failed list, retry it by hand", play.fail_and_retry_by_hand),
    ("Wait for everything else", play.wait_for_the_rest),
    ("Dispatch and run many tiny jobs", play.measure_throughput),
    ("Look at what the jobs were for", play.check_the_work),
)


def main() -> int:
    """Run every act and print the summary; 0 when everything went as it should."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    driver = os.environ.get("DRIVER", "sqlite")
    with tempfile.TemporaryDirectory(prefix="protojobs-demo-") as home, store_of(driver) as store:
        stage = Stage(home=Path(home), driver=driver, store=store)
        try:
            with stage.running(), stage.open_client() as client:
                run(stage, play.Cast(stage=stage, client=client), console)
        except Exception:
            for log in sorted(Path(home).glob("*.log")):
                console.print(f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}", markup=False)
            raise
    return 0


def run(stage: Stage, cast: play.Cast, console: Console) -> None:
    """Run the acts, one line each."""
    began = time.monotonic()
    play.wait_for_server(cast)
    for name in ("worker-1", "worker-2"):
        stage.start_worker(name)
    console.print(f"A server ({stage.driver}) on {stage.address} and two workers, each a process of its own.")
    console.print(f"Its console, while the demo runs: {stage.console}")
    for title, act in ACTS:
        started = time.monotonic()
        act(cast)
        console.print(f"[green]ok[/] {title} ({time.monotonic() - started:.1f} s)")
    console.print()
    summary.show(cast, console)
    console.print(f"\nThe demo took {time.monotonic() - began:.0f} s.")


if __name__ == "__main__":
    sys.exit(main())
