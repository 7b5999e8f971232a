"""What Alembic runs: the connection comes from store/migrate.py, never from a configuration file."""

from alembic import context
from sqlalchemy import Connection

from chargehand.store.schema import METADATA

connection: Connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=METADATA,
    render_as_batch=True,
    # MySQL ends a transaction with each change of the schema.
    transactional_ddl=connection.dialect.name != "mysql",
)
with context.begin_transaction():
    context.run_migrations()
