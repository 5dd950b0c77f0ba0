"""The only legal skips: what a store cannot do, each with its reason. GetServerInfo tells users the same as a capability."""

from collections.abc import Mapping

EXEMPTIONS: Mapping[tuple[str, str], str] = {}
"""(backend, test function) -> why the store cannot do it."""
