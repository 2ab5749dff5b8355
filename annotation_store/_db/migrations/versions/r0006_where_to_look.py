"""What models saw on fields, the order in which to look next, and fields drawn at random."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_STATEMENTS = (
    """
    CREATE TABLE looks (
        field_id INTEGER NOT NULL,
        maker VARCHAR NOT NULL,
        vector BLOB NOT NULL,
        opinions JSON NOT NULL,
        PRIMARY KEY (field_id, maker),
        FOREIGN KEY(field_id) REFERENCES fields (id)
    )
    """,
    """
    CREATE TABLE reserve (
        field_id INTEGER NOT NULL,
        drawn VARCHAR NOT NULL,
        PRIMARY KEY (field_id),
        FOREIGN KEY(field_id) REFERENCES fields (id)
    )
    """,
    """
    CREATE TABLE rankings (
        id INTEGER NOT NULL,
        maker VARCHAR NOT NULL,
        at VARCHAR NOT NULL,
        about JSON NOT NULL,
        entries JSON NOT NULL,
        PRIMARY KEY (id)
    )
    """,
)


def upgrade() -> None:
    """Make the tables; what was there stays."""
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Refuse: a project is never made older; its backups folder holds the copy from before."""
    raise NotImplementedError
