"""Run the migrations on the connection, and in the transaction, that the caller brings."""

from __future__ import annotations

from alembic import context

from measurements.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite alters a table by copying it
    transactional_ddl=True,  # on SQLite too: transactions are begun by hand
)
with context.begin_transaction():
    context.run_migrations()
