#!/usr/bin/env python3
"""Write a version everywhere it stands in this repository, or check that it does.

    deploy/version.py                    tell the version
    deploy/version.py 0.2.0              what is to be released
    deploy/version.py 0.3.0 --next       what is worked on after that: 0.3.0.dev0 in Python, 0.3.0-SNAPSHOT in Java
    deploy/version.py v0.2.0 --check     exit 1 and name each place that says anything else

Server, workers and clients of all languages have one version and are released together; the wheels ask for each other at exactly
that one. It needs nothing but Python.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VERSION = r"\d+\.\d+\.\d+(?:\.dev0|-SNAPSHOT)?"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the version stands: files, and what is in front of it there. `suffix` marks what is not released yet."""

    files: str
    before: str
    suffix: str = ""


PLACES = (
    *(
        Place(f"{member}/pyproject.toml", r'(?:^version = |"proto-jobs-(?:proto|client|worker|service)==)"?', ".dev0")
        for member in ("proto/python", "service", "worker", "clients/python")
    ),
    Place("clients/java/pom.xml", r"<artifactId>protojobs-parent</artifactId>\s*<version>", "-SNAPSHOT"),
    Place("clients/java/*/pom.xml", r"<artifactId>protojobs-(?:parent|bom)</artifactId>\s*<version>", "-SNAPSHOT"),
    Place("clients/typescript/packages/*/package.json", r'^  "version": "'),
    Place("clients/typescript/packages/*/src/version.ts", r'VERSION = "'),
    Place("clients/typescript/**/package.json", r'"@protojobs/(?:client|worker)": "'),
    Place("clients/typescript/package-lock.json", r'"(?:@protojobs/(?:client|worker)": |name": "@protojobs/\w+",\s*"version": )"'),
    Place("clients/go/protojobs/doc.go", r'^const Version = "'),
    Place("clients/php/src/Version.php", "NUMBER = '"),
    Place("deploy/helm/protojobs/Chart.yaml", r"^version: "),
    Place("deploy/helm/protojobs/Chart.yaml", r'^appVersion: "?', ".dev0"),
)


def main() -> int:
    """Do what the arguments say and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("version", nargs="?", help="0.2.0; a v in front is the tag's")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--next", action="store_true", help="mark it as not released")
    mode.add_argument("--check", action="store_true", help="write nothing; fail where anything else stands")
    chosen = parser.parse_args()
    if chosen.version is None:
        print(find_version())
        return 0
    version = chosen.version.removeprefix("v")
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        parser.error(f"{chosen.version} is no version of three numbers")
    if chosen.check:
        wrong = [f"{path.relative_to(ROOT)}: {said}" for path, said in list_others(version)]
        print("\n".join(wrong) or f"{version} everywhere", file=sys.stderr)
        return 1 if wrong else 0
    write(version, not_released=chosen.next)
    return 0


def find_version() -> str:
    """Return the version as the service has it."""
    [found] = re.findall(rf'^version = "({VERSION})"', (ROOT / "service" / "pyproject.toml").read_text(), re.MULTILINE)
    return str(found)


def list_others(version: str) -> Iterator[tuple[Path, str]]:
    """Yield each file, and what it says, that says another version, or none where one belongs."""
    for place in PLACES:
        for path in files(place):
            yield from ((path, said) for said in read(place, path) if said != version)
        if files(place) and not any(read(place, path) for path in files(place)):
            yield ROOT / place.files, "no version"


def read(place: Place, path: Path) -> list[str]:
    """Return the versions that a file has."""
    return re.findall(rf"(?:{place.before})({VERSION})", path.read_text(), re.MULTILINE)


def write(version: str, *, not_released: bool) -> None:
    """Write the version everywhere."""
    for place in PLACES:
        new = version + (place.suffix if not_released else "")
        for path in files(place):
            text = path.read_text()
            path.write_text(re.sub(rf"({place.before}){VERSION}", rf"\g<1>{new}", text, flags=re.MULTILINE))


def files(place: Place) -> list[Path]:
    """Return the files of a place; packages that others have installed there are not ours."""
    return [path for path in sorted(ROOT.glob(place.files)) if "node_modules" not in path.parts]


if __name__ == "__main__":
    sys.exit(main())
