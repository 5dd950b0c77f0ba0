"""Helm, and what it makes of each file of values: once for each process."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.chart.rendering import VALUE_FILES, Object, render
from tests.chart.tools import ToolsUnavailable, find_helm
from tests.conftest import NOT_ON_THIS_MACHINE


def found(find: Callable[..., Path], *arguments: str) -> Path:
    """Return what `find` finds; skip the test where this machine cannot have it."""
    try:
        return find(*arguments)
    except ToolsUnavailable as error:
        pytest.skip(f"{NOT_ON_THIS_MACHINE}tests of the chart: {error}")


_rendered = cache(render)


@pytest.fixture(scope="session")
def helm() -> Path:
    """Return the newest Helm."""
    return found(find_helm, "4")


@pytest.fixture
def made(helm: Path) -> Callable[[str], list[Object]]:
    """Return what makes the objects of a file of values: `made("sqlite")`. They are not to be changed."""
    return lambda name: _rendered(helm, next(path for path in VALUE_FILES if path.name == f"{name}-values.yaml"))
