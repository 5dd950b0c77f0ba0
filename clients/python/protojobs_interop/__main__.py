"""`interop COMMAND ...`: exit code 0 well, 2 wrong usage, 1 otherwise. Security comes from PROTOJOBS_* variables."""

import argparse
import logging
import sys
from pathlib import Path

from protojobs_client import Options, ProtoJobsError

from protojobs_interop import kinds, producing, vectors, working
from protojobs_interop.lines import say_error


def main() -> int:
    """Do what the arguments say and return the exit code."""
    chosen = _parser().parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        return _run(chosen)
    except ProtoJobsError as error:
        say_error(error)
    except (ValueError, OSError) as error:
        logging.getLogger(__name__).error("%s", error)  # noqa: TRY400 # the text says it all
    return 1


def _run(chosen: argparse.Namespace) -> int:
    if chosen.command == "vectors":
        return 0 if vectors.check(chosen.dir) else 1
    options = Options.from_env()
    if chosen.addr:
        options = options.at(chosen.addr)
    match chosen.command:
        case "dispatch":
            if chosen.quiet:
                producing.dispatch_all(options, chosen.queue, chosen.n, spec=chosen.spec, mode=chosen.mode)
            else:
                producing.dispatch(options, chosen.queue, chosen.n, spec=chosen.spec, mode=chosen.mode, wait=chosen.wait)
        case "get":
            producing.get(options, chosen.job_id)
        case "cancel":
            producing.cancel(options, chosen.job_id)
        case "retry":
            producing.retry(options, chosen.job_id)
        case "failed":
            producing.failed(options, chosen.queue, chosen.n)
        case "stats":
            producing.stats(options, chosen.queue)
        case "schedule":
            producing.schedule(options, chosen.queue, chosen.kind, chosen.seconds)
        case "watch":
            producing.watch(options, chosen.queue, chosen.n)
        case _:
            return working.work(
                options,
                chosen.queue,
                chosen.n,
                slots=chosen.slots,
                chosen=chosen.kinds.split(","),
                grace=chosen.grace,
                health_file=chosen.health_file,
                quiet=chosen.quiet,
            )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="interop", description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)

    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--addr", help="server, host:port; default PROTOJOBS_ADDRESS")
    common.add_argument("--json", action="store_true", help="output is always JSON")
    queue = argparse.ArgumentParser(add_help=False, parents=[common])
    queue.add_argument("--queue", default="default")
    queue.add_argument("--n", type=int, default=1, help="how many")
    quiet = argparse.ArgumentParser(add_help=False)
    quiet.add_argument("--quiet", action="store_true", help="say nothing of single jobs")
    job = argparse.ArgumentParser(add_help=False, parents=[common])
    job.add_argument("--job-id", required=True)

    dispatch = commands.add_parser("dispatch", parents=[queue, quiet])
    dispatch.add_argument("--spec", help="file of a JobSpec as proto3 JSON; - is standard input")
    dispatch.add_argument("--mode", choices=("single", "batch", "stream"), default="single")
    dispatch.add_argument("--wait", type=float, help="seconds to wait for each job's end")
    for name in ("get", "cancel", "retry"):
        commands.add_parser(name, parents=[job])
    for name in ("failed", "stats", "watch"):
        commands.add_parser(name, parents=[queue])
    schedule = commands.add_parser("schedule", parents=[queue])
    schedule.add_argument("--in", dest="seconds", type=float, required=True)
    schedule.add_argument("--kind", required=True)
    work = commands.add_parser("work", parents=[queue, quiet])
    work.add_argument("--slots", type=int, default=10)
    work.add_argument("--kinds", default=",".join(kinds.KINDS))
    work.add_argument("--grace", type=float, default=10.0)
    work.add_argument("--health-file", type=Path)
    golden = commands.add_parser("vectors", parents=[common])
    golden.add_argument("--dir", type=Path, required=True)
    return parser


if __name__ == "__main__":
    sys.exit(main())
