"""The SQL driver: SQLite and PostgreSQL."""
