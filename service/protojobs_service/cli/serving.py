"""What every process of a server does around serving: logs, event loop, signals, and what its errors mean to whoever started it."""

import asyncio
import gc
import os
import resource
import signal
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from protojobs_service.cli.output import ExitCode, fail
from protojobs_service.domain.errors import StoreUnavailable

if TYPE_CHECKING:
    from protojobs_service.settings import Settings

_COLLECT_AFTER = 50_000
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

Serving = Callable[[asyncio.Event], Coroutine[Any, Any, None]]


def run(
    serving: Serving,
    settings: "Settings",
    *,
    level: str | None = None,
    process_no: int | None = None,
    at_once: Callable[[], None] = lambda: None,
) -> None:
    """Run `serving` to its end, which the first SIGTERM or SIGINT asks for by its event; the second one ends the process.

    Nothing acknowledged is lost by that. level: of the log, instead of the settings'. process_no: see `configure_logs`. at_once:
    called at the second signal. Errors end the process, each with its exit code.
    """
    from protojobs_service.settings import InvalidSettings
    from protojobs_service.telemetry import configure_logs

    configure_logs(level or settings.log.level, settings.log.format, process_no=process_no)
    # A core dump would hold keys, tokens and payloads.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_until_signalled(serving, at_once))
    except InvalidSettings as error:
        fail(str(error), ExitCode.USAGE)
    except StoreUnavailable as error:
        fail(error.message, ExitCode.UNAVAILABLE)
    except OSError as error:
        fail(str(error), ExitCode.UNAVAILABLE)


def spare_collector() -> None:
    """Let the collector of cycles look at what jobs leave behind, seldom, and not at what a server is made of.

    A busy server makes tens of tuples for each job and next to no cycle: by default the collector takes 5 of 25 us a job.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 20, 20)


async def _until_signalled(serving: Serving, at_once: Callable[[], None]) -> None:
    stop = asyncio.Event()
    # Not what `stop` says: a supervisor may have set it, and the first signal come after that.
    signalled = False

    def heard(number: int) -> None:
        nonlocal signalled
        if signalled:
            at_once()
            os._exit(128 + number)
        signalled = True
        stop.set()

    loop = asyncio.get_running_loop()
    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, heard, number)
    try:
        await serving(stop)
    finally:
        # uvloop leaves them behind when it closes, and whoever goes on would never hear of a signal again.
        for number in _STOP_SIGNALS:
            loop.remove_signal_handler(number)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's, where it is installed (extra `uvloop`); None: the one of Python."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
