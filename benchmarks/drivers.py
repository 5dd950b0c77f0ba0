"""The stores that are measured."""

from typing import Literal

Driver = Literal["postgres", "mariadb", "sqlite", "memory", "kafka"]
"""kafka: one broker, with PostgreSQL as its side store."""
