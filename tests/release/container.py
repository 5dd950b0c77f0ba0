"""Builds Dockerfiles and runs what they make without an engine, as root of a Linux machine, which stands in for the base image.

A stage is a directory that is laid over those of the stages below it and over the machine's root, so what a build writes is in
these directories alone. Each instruction that our Dockerfile uses does here what it does there. A container gets namespaces for
mounts and processes: its root is read-only, its program is process 1, and there is no shell. Network and host name are those of
the machine.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.private_server import ServerUnavailable
from tests.release.dockerfile import Stage, exec_form, is_ignored, read_ignored, read_stages

_PROBE = "mkdir l u w m; mount -t overlay overlay -o lowerdir=l,upperdir=u,workdir=w m; mount -t proc proc m"
# Mounts at $1 what $2 says. $3 is the Python of these tests, put where the base image has its own. $4 are more mounts; the rest
# is the command.
_MOUNT = """
root=$1; layers=$2; python=$3; more=$4; shift 4
mount -t overlay overlay -o "$layers" "$root"
mount --bind "$python" "$root/usr/local"
mount -o remount,bind,ro "$root/usr/local"
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
eval "$more"
exec "$@"
"""
# What a container may write: its state, and memory.
_CONTAINED = """
for shell in sh dash bash; do mount --bind "$root/../nothing" "$root/usr/bin/$shell"; done
mount --bind "$STATE" "$root/var/lib/protojobs"
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs tmpfs "$root/dev/shm"
"""
# The base image's, and where pip puts the programs that it installs.
_PATH = f"/usr/local/bin:{sys.base_prefix}/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A built stage: its file system and what it and the stages below it say. `layers` are the directories, the topmost first."""

    layers: list[Path]
    said: list[tuple[str, str]]

    @property
    def variables(self) -> dict[str, str]:
        """Return the variables that are set in it."""
        found = {"PATH": _PATH}
        for word in (word for name, text in self.said if name == "ENV" for word in shlex.split(text)):
            name, _, value = word.partition("=")
            found[name] = value.replace("${PATH}", found["PATH"])
        return found

    @contextmanager
    def running(
        self, arguments: Sequence[str] | None = None, *, state: Path, env: Mapping[str, str] | None = None, entrypoint: str = ""
    ) -> Generator[subprocess.Popen[str]]:
        """Run a container with `state` mounted in its place; it is gone when the context ends, and before that by `stop`.

        Without arguments it gets the image's own.
        """
        variables = {**self.variables, **(env or {})}
        program, *words = [entrypoint] if entrypoint else exec_form(self.last("ENTRYPOINT"))
        words += exec_form(self.last("CMD") or "[]") if arguments is None else arguments
        uid, _, gid = self.last("USER").partition(":")
        root = self.layers[0] / "root"
        command = ["/usr/bin/env", "-i", *(f"{name}={value}" for name, value in variables.items()), "unshare", f"--root={root}"]
        command += [f"--wd={self.last('WORKDIR')}", "--setgid", gid, "--setuid", uid, "--", self._find(program, variables), *words]
        with _mounted(root, _lower(self.layers), _CONTAINED, command, {"STATE": str(state)}) as process:
            yield process

    def run(
        self, arguments: Sequence[str], *, state: Path, env: Mapping[str, str] | None = None, entrypoint: str = ""
    ) -> tuple[int, str]:
        """Run a container to its end; return the exit code and the output."""
        with self.running(arguments, state=state, env=env, entrypoint=entrypoint) as process:
            output, _ = process.communicate()
        return process.returncode, output

    def last(self, instruction: str) -> str:
        """Return what the last instruction of a name says; empty: there is none."""
        return next((text for name, text in reversed(self.said) if name == instruction), "")

    def _find(self, program: str, variables: Mapping[str, str]) -> str:
        # Without a shell there is nobody else to look for it.
        for directory in variables["PATH"].split(":"):
            if any(os.path.lexists(layer / "upper" / directory[1:] / program) for layer in self.layers):
                return f"{directory}/{program}"
        raise FileNotFoundError(program)


def stop(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Send process 1 of a container SIGTERM, as an engine does; return the exit code and the output."""
    [first] = psutil.Process(process.pid).children()
    first.terminate()
    output, _ = process.communicate()
    return process.returncode, output


@dataclass(slots=True, kw_only=True)
class Builder:
    """Builds stages of a Dockerfile below `place`, each once. Raises ServerUnavailable where nothing can be mounted.

    `images` are those that FROM may name besides the stages; any other is the machine itself.
    """

    dockerfile: Path
    context: Path
    place: Path
    images: dict[str, Image] = field(default_factory=dict[str, Image])
    _stages: dict[str, Stage] = field(init=False)

    def __post_init__(self) -> None:
        """Read the Dockerfile."""
        self._stages = read_stages(self.dockerfile)
        self.place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.place) as directory:
            tried = subprocess.run(
                ["unshare", "--mount", "--pid", "--fork", "/bin/sh", "-euc", _PROBE],
                cwd=directory,
                capture_output=True,
                check=False,
            )
        if os.geteuid() != 0 or tried.returncode != 0:
            raise ServerUnavailable("needs root, namespaces and overlay mounts")

    def build(self, name: str) -> Image:
        """Return a stage, built if it is not yet."""
        if name not in self.images:
            stage = self._stages[name]
            below = self.build(stage.base) if stage.base in {*self._stages, *self.images} else Image(layers=[], said=[])
            image = Image(layers=[self.place / name, *below.layers], said=list(below.said))
            _make(image.layers[0])
            for instruction in stage.instructions:
                self._do(image, *instruction)
                image.said.append(instruction)
            self.images[name] = image
        return self.images[name]

    def _do(self, image: Image, instruction: str, text: str) -> None:
        upper = image.layers[0] / "upper"
        directory = image.last("WORKDIR") or "/"
        if instruction == "WORKDIR":
            (upper / text[1:]).mkdir(parents=True, exist_ok=True)
        elif instruction == "COPY":
            self._copy(upper, Path(directory), text)
        elif instruction == "RUN":
            command = " ".join(word for word in text.split(" ") if not word.startswith("--mount="))
            words = ["chroot", str(image.layers[0] / "root"), "/bin/sh", "-euc", f"cd {directory}; {command}"]
            layers = f"{_lower(image.layers[1:])},upperdir={upper},workdir={image.layers[0]}/work"
            _finish(image.layers[0] / "root", layers, words, image.variables)

    def _copy(self, upper: Path, directory: Path, text: str) -> None:
        *options, source, target = text.split()
        there = upper / str(directory / target)[1:]
        (upper / str(directory)[1:]).mkdir(parents=True, exist_ok=True)
        if options:
            layers = self.build(options[0].removeprefix("--from=")).layers
            there.parent.mkdir(exist_ok=True)
            _finish(layers[0] / "root", _lower(layers), ["cp", "-a", f"{layers[0]}/root{source}", str(there)], {})
        elif (self.context / source).is_file():
            shutil.copy(self.context / source, there / Path(source).name if target.endswith("/") else there)
        else:
            shutil.copytree(self.context / source, there, ignore=self._ignored, symlinks=True)

    def _ignored(self, parent: str, names: list[str]) -> list[str]:
        patterns = read_ignored(self.context / ".dockerignore")
        return [name for name in names if is_ignored(str((Path(parent) / name).relative_to(self.context)), patterns)]


def _lower(layers: list[Path]) -> str:
    return f"lowerdir={':'.join([*(f'{layer}/upper' for layer in layers), '/'])}"


def _finish(root: Path, layers: str, command: Sequence[str], env: Mapping[str, str]) -> None:
    with _mounted(root, layers, ":", command, env) as process:
        output, _ = process.communicate()
    assert process.returncode == 0, f"{shlex.join(command)}\n{output}"


def _make(place: Path) -> None:
    for name in ("upper", "root", "work"):
        (place / name).mkdir(parents=True)
    (place / "nothing").touch()
    # Every user reaches the Python of these tests.
    for parent in reversed(Path(sys.base_prefix).parents):
        (place / "upper" / parent.relative_to("/")).mkdir(mode=0o755, exist_ok=True)


@contextmanager
def _mounted(
    root: Path, layers: str, more: str, command: Sequence[str], env: Mapping[str, str]
) -> Generator[subprocess.Popen[str]]:
    """Run a command with mounts and processes of its own; it is killed when the context ends."""
    isolated = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "/bin/sh", "-euc", _MOUNT, "container"]
    with subprocess.Popen(
        [*isolated, str(root), layers, sys.base_prefix, more, *command],
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()
