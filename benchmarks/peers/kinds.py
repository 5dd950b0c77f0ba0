"""The peers: how each is installed, started, and asked whether anything is left to do."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.programs import BIN, ROOT

HERE: Final = Path(__file__).parent
GRAPHILE: Final = '"graphile-worker": '  # as package.json has it


class NotInstallable(Exception):
    """This machine cannot have a peer; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Another job queue.

    table: where its jobs are. left: an SQL condition on them, true of those that wait or run. workers: its processes.
    fraction: it gets this part of the jobs, for it would take too long over all of them.
    """

    name: str
    version: str
    setup: str
    table: str
    left: str = "true"
    command: Sequence[str | Path]
    workers: int = 1
    fraction: float = 1.0


def cache() -> Path:
    """Return where the peers are installed; PROTOJOBS_BENCH_CACHE names another place."""
    named = os.environ.get("PROTOJOBS_BENCH_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "protojobs-bench"


def install(name: str) -> Peer:
    """Install a peer, unless it is there, and return it. Raises NotInstallable."""
    home = cache() / name
    home.mkdir(parents=True, exist_ok=True)
    return _INSTALLERS[name](home)


def _river(home: Path) -> Peer:
    go, source, program = _tool("go"), HERE / "river", home / "river"
    _run(go, ["build", "-o", program, "."], cwd=source)
    return Peer(
        name="river",
        version=f"{_after(source / 'go.mod', 'github.com/riverqueue/river ')} ({_run(go, ['env', 'GOVERSION'], cwd=source)})",
        setup="one process; 2000 workers, fetch cooldown 2 ms, poll 50 ms, InsertManyFast, the batch completer",
        table="river_job",
        left="state in ('available', 'running', 'retryable', 'scheduled', 'pending')",
        command=[program],
    )


def _pgqueuer(home: Path) -> Peer:
    return Peer(
        name="pgqueuer",
        version=_after(HERE / "pgqueuer" / "requirements.txt", "pgqueuer=="),
        setup="two processes; batch 200, a pool of 16 connections, uvloop",
        table="pgqueuer",
        command=[_environment(home, "pgqueuer"), "-m", "benchmarks.peers.pgqueuer.program"],
        workers=2,
    )


def _procrastinate(home: Path) -> Peer:
    return Peer(
        name="procrastinate",
        version=_after(HERE / "procrastinate" / "requirements.txt", "procrastinate=="),
        setup="two processes; 100 slots, a pool of 16 connections, poll 50 ms, jobs deleted when they succeed, uvloop",
        table="procrastinate_jobs",
        left="status in ('todo', 'doing')",
        command=[_environment(home, "procrastinate"), "-m", "benchmarks.peers.procrastinate.program"],
        workers=2,
        fraction=0.05,
    )


def _graphile(home: Path) -> Peer:
    node, npm = _tool("node"), _tool("npm")
    for name in ("package.json", "package-lock.json", ".npmrc", "main.mjs"):
        shutil.copyfile(HERE / "graphile" / name, home / name)
    if _is_new(home, HERE / "graphile" / "package-lock.json"):
        _run(npm, ["ci", "--ignore-scripts"], cwd=home)
        _remember(home, HERE / "graphile" / "package-lock.json")
    return Peer(
        name="graphile",
        version=f"{_after(home / 'package.json', GRAPHILE)} (node {_run(node, ['--version'], cwd=home)})",
        setup="two processes; 24 slots, localQueue 500, completeJobBatchDelay 0, poll 50 ms, addJobs",
        table="graphile_worker._private_jobs",
        command=[node, home / "main.mjs"],
        workers=2,
    )


_INSTALLERS: Final = {"river": _river, "pgqueuer": _pgqueuer, "procrastinate": _procrastinate, "graphile": _graphile}
NAMES: Final = tuple(_INSTALLERS)


def _environment(home: Path, name: str) -> Path:
    """Make the environment of a Python peer, and return its Python."""
    wanted = HERE / name / "requirements.txt"
    python = home / "bin" / "python"
    if _is_new(home, wanted):
        uv = str(BIN / "uv")
        _run(uv, ["venv", "--quiet", "--clear", "--python", sys.executable, home], cwd=ROOT)
        _run(uv, ["pip", "sync", "--quiet", "--require-hashes", "--python", python, wanted], cwd=ROOT)
        _remember(home, wanted)
    return python


def _is_new(home: Path, wanted: Path) -> bool:
    have = home / f"installed-{wanted.name}"
    return not have.exists() or have.read_bytes() != wanted.read_bytes()


def _remember(home: Path, wanted: Path) -> None:
    shutil.copyfile(wanted, home / f"installed-{wanted.name}")


def _after(file: Path, prefix: str) -> str:
    """Return the word that follows `prefix` at the begin of a line, which is a pinned version."""
    lines = (line.strip() for line in file.read_text().splitlines())
    return next(line.removeprefix(prefix).split()[0].strip('",') for line in lines if line.startswith(prefix))


def _tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise NotInstallable(f"{name} is not on this machine")
    return found


def _run(tool: str, arguments: Sequence[str | Path], *, cwd: Path) -> str:
    """Run a tool, and return what it said."""
    done = subprocess.run([tool, *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
        raise NotInstallable(f"{Path(tool).name} {arguments[0]} ended with {done.returncode}: {last[-1]}")
    return done.stdout.strip()
