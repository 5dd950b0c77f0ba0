"""Programs with an environment that says what we say, and nothing that the machine says of Proto Jobs or telemetry."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
BIN: Final = Path(sys.executable).parent


def spawn(command: Sequence[str | Path], log: Path, env: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    """Start a program whose output goes to the end of `log`."""
    with log.open("ab") as output:
        return subprocess.Popen(
            command, cwd=ROOT, env=_environment(env), stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )  # fmt: skip


def run(command: Sequence[str | Path], env: Mapping[str, str]) -> None:
    """Run a program to its end. Raises RuntimeError with what it said if it failed."""
    done = subprocess.run(command, cwd=ROOT, env=_environment(env), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}")


def end(program: "subprocess.Popen[bytes]") -> None:
    """Ask a program to end, and kill it if it does not within 15 s."""
    program.terminate()
    try:
        program.wait(15)
    except subprocess.TimeoutExpired:
        program.kill()
        program.wait()


def _environment(env: Mapping[str, str]) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PROTOJOBS_", "OTEL_"))}
    return {**inherited, **env}
