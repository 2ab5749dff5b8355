"""Paths that name people leave the database: folders become keyed hashes, imported files keep their name.

The path of a whole slide stays, since the slide is read where it lies.
"""

import sqlalchemy as sa
from alembic import op

from annotation_store._db.pseudonyms import path_pseudonym

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Replace them; the old bytes are overwritten in the file."""
    connection = op.get_bind()
    connection.exec_driver_sql("PRAGMA secure_delete = ON")
    images = connection.exec_driver_sql("SELECT id, source_path FROM fields WHERE kind = 'image'").all()
    if images:
        secret = str(connection.exec_driver_sql("SELECT secret FROM project").scalar_one())
        connection.execute(
            sa.text("UPDATE fields SET source_path = :path WHERE id = :row"),
            [{"row": row, "path": path_pseudonym(secret, path)} for row, path in images if path],
        )
    files = connection.exec_driver_sql("SELECT id, source FROM conflicts").all()
    if files:
        connection.execute(
            sa.text("UPDATE conflicts SET source = :name WHERE id = :row"),
            [{"row": row, "name": file.replace("\\", "/").rpartition("/")[2]} for row, file in files],
        )
    connection.exec_driver_sql(
        "UPDATE runs SET config = json_remove(config, '$.project') WHERE json_valid(config)"
    )


def downgrade() -> None:
    """Refuse: a project is never made older; its backups folder holds the copy from before."""
    raise NotImplementedError
