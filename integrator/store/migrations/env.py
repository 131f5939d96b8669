"""Alembic's entry point: runs migrations on the connection that `integrator.store.migrate` hands over."""

from alembic import context

from integrator.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite cannot alter most things in place; batch mode rebuilds the table instead.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
