"""Runs the steps on the connection that the caller opened, inside the caller's transaction."""

from alembic import context

from filmroom.catalog.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
