# ruff: noqa: E501
"""What rows are called in every copy of a project; conflicts of regions and fields too."""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_STATEMENTS = (
    """
    CREATE TABLE origins (
        entity VARCHAR NOT NULL,
        row_id INTEGER NOT NULL,
        uid VARCHAR NOT NULL,
        number INTEGER NOT NULL,
        about JSON,
        PRIMARY KEY (entity, row_id),
        CONSTRAINT one_of_each UNIQUE (entity, uid)
    )
    """,
    "ALTER TABLE fields ADD COLUMN withheld BOOLEAN NOT NULL DEFAULT 0",
    # neither a CHECK nor NOT NULL can be changed in place: the table is made anew, with the rows it had
    """
    CREATE TABLE new_conflicts (
        id INTEGER NOT NULL,
        at VARCHAR NOT NULL,
        annotator VARCHAR NOT NULL,
        source TEXT NOT NULL,
        place TEXT NOT NULL,
        field_id INTEGER NOT NULL,
        reading_id INTEGER,
        cell_id INTEGER,
        region_id INTEGER,
        "here" JSON NOT NULL,
        "there" JSON NOT NULL,
        state VARCHAR DEFAULT 'open' NOT NULL,
        PRIMARY KEY (id),
        CONSTRAINT state_known CHECK (state IN ('open', 'kept', 'taken', 'superseded')),
        FOREIGN KEY(field_id) REFERENCES fields (id),
        FOREIGN KEY(reading_id) REFERENCES readings (id),
        FOREIGN KEY(cell_id) REFERENCES cells (id),
        FOREIGN KEY(region_id) REFERENCES regions (id)
    )
    """,
    """
    INSERT INTO new_conflicts (id, at, annotator, source, place, field_id, reading_id, cell_id, "here", "there", state)
    SELECT id, at, annotator, source, place, field_id, reading_id, cell_id, "here", "there", state FROM conflicts
    """,
    "DROP TABLE conflicts",
    "ALTER TABLE new_conflicts RENAME TO conflicts",
    "CREATE INDEX ix_conflicts_state ON conflicts (state, reading_id)",
    # what belongs to a field is read field by field when projects are brought together
    "CREATE INDEX ix_conflicts_field ON conflicts (field_id)",
)


def upgrade() -> None:
    """Make the table and the columns; what was there stays."""
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Refuse: a project is never made older; its backups folder holds the copy from before."""
    raise NotImplementedError
