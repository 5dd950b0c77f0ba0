"""The stand of tests/chaos."""

from tests.chaos.conftest import make_stand, quiet_retries

__all__ = ["make_stand", "quiet_retries"]
