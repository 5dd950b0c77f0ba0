"""The stand and the stores of tests/chaos."""

from tests.chaos.conftest import durable_cluster, make_stand, postgres_store

__all__ = ["durable_cluster", "make_stand", "postgres_store"]
