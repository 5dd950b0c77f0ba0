"""The stand of tests/chaos."""

from tests.chaos.conftest import make_stand

__all__ = ["make_stand"]
