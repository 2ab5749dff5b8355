"""Paths that name people leave the database: an image's original and an imported file keep their last part.

The path of a whole slide stays, since the slide is read where it lies.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Shorten them; the old bytes are overwritten in the file."""
    connection = op.get_bind()
    connection.exec_driver_sql("PRAGMA secure_delete = ON")
    for table, column, condition in (
        ("fields", "source_path", "kind = 'image'"),
        ("conflicts", "source", "1"),
    ):
        rows = connection.exec_driver_sql(f"SELECT id, {column} FROM {table} WHERE {condition}").all()
        shortened = [
            {"row": row[0], "name": name}
            for row in rows
            if (name := str(row[1]).replace("\\", "/").rpartition("/")[2]) != row[1]
        ]
        if shortened:
            connection.execute(sa.text(f"UPDATE {table} SET {column} = :name WHERE id = :row"), shortened)
    connection.exec_driver_sql(
        "UPDATE runs SET config = json_remove(config, '$.project') WHERE json_valid(config)"
    )


def downgrade() -> None:
    """Refuse: a project is never made older; its backups folder holds the copy from before."""
    raise NotImplementedError
