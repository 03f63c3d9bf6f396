"""Alembic's entry point: runs migrations on the connection that `records.migration` hands over."""

from alembic import context
from sqlalchemy import Connection

from records.schema import METADATA

connection = context.config.attributes.get("connection")
if context.is_offline_mode() or not isinstance(connection, Connection):
    raise RuntimeError("migrations run through records.migration, on a connection")

context.configure(
    connection=connection,
    target_metadata=METADATA,
    compare_type=True,
    # SQLite cannot alter most things in place; Alembic then rebuilds the table.
    render_as_batch=connection.dialect.name == "sqlite",
)
with context.begin_transaction():
    context.run_migrations()
