"""The stand and the stores of tests/chaos."""

from tests.chaos.conftest import (
    durable_cluster,
    durable_mariadb,
    make_stand,
    mariadb_store,
    postgres_store,
    stand,
    store,
)

__all__ = ["durable_cluster", "durable_mariadb", "make_stand", "mariadb_store", "postgres_store", "stand", "store"]
