"""Reads a Dockerfile and a .dockerignore, as far as ours go."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage with its instructions, in order; `base` is a stage or an image."""

    name: str
    base: str
    instructions: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    def all(self, instruction: str) -> list[str]:
        """Return what stands behind each instruction of this name."""
        return [text for name, text in self.instructions if name == instruction]


def read_stages(path: Path) -> dict[str, Stage]:
    """Return the stages of a Dockerfile by name, or by number where they have none, in order."""
    stages: dict[str, Stage] = {}
    for instruction, text in _instructions(path.read_text()):
        if instruction == "FROM":
            base, _, name = text.partition(" AS ")
            name = name or str(len(stages))
            stages[name] = Stage(name, base)
        elif stages:
            list(stages.values())[-1].instructions.append((instruction, text))
    return stages


def lineage(stages: dict[str, Stage], name: str) -> list[Stage]:
    """Return a stage and those below it, the lowest first."""
    found: list[Stage] = []
    while name in stages:
        found.insert(0, stages[name])
        name = stages[name].base
    return found


def copies_from_context(stage: Stage) -> Iterator[tuple[list[str], str]]:
    """Yield the sources and the target of each COPY that reads the build context."""
    for text in stage.all("COPY"):
        if not text.startswith("--"):
            *sources, target = text.split()
            yield sources, target


def exec_form(text: str) -> list[str]:
    """Return the words of a command in its exec form. Raises ValueError for the shell form."""
    words = json.loads(text)
    if not isinstance(words, list):
        raise TypeError("not a list")
    return [str(word) for word in words]


def is_ignored(path: str, patterns: list[str]) -> bool:
    """Tell whether a .dockerignore keeps a path out of the context: the last pattern that fits it or a parent decides."""
    ignored = False
    parts = path.split("/")
    tops = ["/".join(parts[: n + 1]) for n in range(len(parts))]
    for pattern in patterns:
        expression = _expression(pattern.removeprefix("!"))
        if any(expression.fullmatch(top) for top in tops):
            ignored = not pattern.startswith("!")
    return ignored


def read_ignored(path: Path) -> list[str]:
    """Return the patterns of a .dockerignore."""
    return [line for line in path.read_text().splitlines() if line and not line.startswith("#")]


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for line in re.sub(r"\\\n\s*", "", lines).splitlines():
        if line.strip():
            instruction, _, rest = line.strip().partition(" ")
            yield instruction, rest.strip()


def _expression(pattern: str) -> re.Pattern[str]:
    words = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(words.get(word, word) for word in re.findall(r"\*\*/|\*\*|\*|\?|\[[^]]*]|[^*?[]+", _escape(pattern))))


def _escape(pattern: str) -> str:
    return pattern.replace(".", r"\.")
