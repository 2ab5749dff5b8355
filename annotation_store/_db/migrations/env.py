"""Alembic's entry: runs the migrations on the connection that `annotation_store._db.migrate` hands over."""

from alembic import context

from annotation_store._db.tables import metadata

connection = context.config.attributes["connection"]
# the caller holds the transaction, so that a failing migration leaves the database as it was
context.configure(connection=connection, target_metadata=metadata, transactional_ddl=False)
context.run_migrations()
