"""How alembic runs the revisions: on the connection, schema and prefix that `migrate` hands over, in its transaction."""

from alembic import context

attributes = context.config.attributes
context.configure(
    connection=attributes["connection"],
    version_table=attributes["version_table"],
    version_table_schema=attributes["schema"],
    transactional_ddl=False,  # the transaction is `migrate`'s, around everything
)
context.run_migrations()
