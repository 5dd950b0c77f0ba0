"""A MariaDB database as a store under test."""

from collections.abc import Mapping
from dataclasses import dataclass

from tests.chaos.stores import RECOUNT, Counts, by_queue
from tests.mariadb import MariaServer


@dataclass(frozen=True, slots=True, kw_only=True)
class MariaStore:
    """A database of a server."""

    server: MariaServer
    database: str
    name: str = "mariadb"

    def env(self) -> Mapping[str, str]:
        """Return the settings of a protojobs server on this store."""
        dsn = self.server.dsn(self.database).replace("mysql+asyncmy://", "mysql://")
        return {"PROTOJOBS_DRIVER": "mysql", "PROTOJOBS_MYSQL__DSN": dsn}

    def recount(self) -> Counts:
        """Count jobs by queue and state in the tables themselves."""
        text = self.server.execute(" ".join(RECOUNT.format(p="").split()), database=self.database)
        return by_queue(line.split("\t") for line in text.splitlines())
