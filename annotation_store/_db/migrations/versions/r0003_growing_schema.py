# ruff: noqa: E501
"""A schema that grows, conflicts of imports, time spent on fields."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_STATEMENTS = (
    "ALTER TABLE project ADD COLUMN schema_version INTEGER DEFAULT 1 NOT NULL",
    """
    CREATE TABLE old_schemas (
        version INTEGER NOT NULL,
        digest VARCHAR NOT NULL,
        schema JSON NOT NULL,
        replaced VARCHAR NOT NULL,
        annotator VARCHAR NOT NULL,
        mapping JSON NOT NULL,
        PRIMARY KEY (version)
    )
    """,
    """
    CREATE TABLE conflicts (
        id INTEGER NOT NULL,
        at VARCHAR NOT NULL,
        annotator VARCHAR NOT NULL,
        source TEXT NOT NULL,
        place TEXT NOT NULL,
        field_id INTEGER NOT NULL,
        reading_id INTEGER NOT NULL,
        cell_id INTEGER NOT NULL,
        "here" JSON NOT NULL,
        "there" JSON NOT NULL,
        state VARCHAR DEFAULT 'open' NOT NULL,
        PRIMARY KEY (id),
        CONSTRAINT state_known CHECK (state IN ('open', 'kept', 'taken')),
        FOREIGN KEY(field_id) REFERENCES fields (id),
        FOREIGN KEY(reading_id) REFERENCES readings (id),
        FOREIGN KEY(cell_id) REFERENCES cells (id)
    )
    """,
    "CREATE INDEX ix_conflicts_state ON conflicts (state, reading_id)",
    """
    CREATE TABLE active_time (
        id INTEGER NOT NULL,
        annotator VARCHAR NOT NULL,
        field_id INTEGER NOT NULL,
        seconds FLOAT DEFAULT 0 NOT NULL,
        PRIMARY KEY (id),
        CONSTRAINT once UNIQUE (annotator, field_id),
        CONSTRAINT seconds_sane CHECK (seconds >= 0),
        FOREIGN KEY(field_id) REFERENCES fields (id)
    )
    """,
    "ALTER TABLE annotators DROP COLUMN active_seconds",
    # every class, group and value that the schema knows, so that the database itself can refuse others
    "CREATE TABLE words (attribute VARCHAR NOT NULL, value VARCHAR NOT NULL, PRIMARY KEY (attribute, value))",
    """
    INSERT OR IGNORE INTO words (attribute, value)
    SELECT '', json_extract(c.value, '$.name') FROM project, json_each(project.schema, '$.classes') AS c
    UNION SELECT '', json_extract(g.value, '$.name') FROM project, json_each(project.schema, '$.groups') AS g
    UNION SELECT '', 'unsure' FROM project
    UNION SELECT json_extract(a.value, '$.name'), json_extract(v.value, '$.name')
        FROM project, json_each(project.schema, '$.attributes') AS a, json_each(a.value, '$.values') AS v
    UNION SELECT json_extract(a.value, '$.name'), 'unsure' FROM project, json_each(project.schema, '$.attributes') AS a
    """,
    *(
        f"CREATE TRIGGER cells_in_schema_{verb.split()[0].lower()} BEFORE {verb} ON cells "
        "WHEN NOT NEW.deleted AND ("
        "(NEW.cell_class IS NOT NULL AND NOT EXISTS (SELECT 1 FROM words WHERE attribute = '' AND value = NEW.cell_class)) "
        "OR EXISTS (SELECT 1 FROM json_each(NEW.attributes) AS a "
        "WHERE NOT EXISTS (SELECT 1 FROM words WHERE attribute = a.key AND value = a.value))) "
        "BEGIN SELECT RAISE(ABORT, 'the schema has no such class or value'); END"
        for verb in ("INSERT", "UPDATE OF cell_class, attributes, deleted")
    ),
    # a CHECK cannot be changed in place: the table is made anew, with the rows it had
    """
    CREATE TABLE new_history (
        id INTEGER NOT NULL,
        edit_id INTEGER NOT NULL,
        entity VARCHAR NOT NULL,
        entity_id INTEGER NOT NULL,
        action VARCHAR NOT NULL,
        "before" JSON,
        "after" JSON,
        PRIMARY KEY (id),
        CONSTRAINT entity_known CHECK (entity IN ('cell', 'region', 'ignore_area', 'suggestion', 'field', 'conflict')),
        CONSTRAINT action_known CHECK (action IN ('add', 'change', 'delete')),
        CONSTRAINT once_per_edit UNIQUE (edit_id, entity, entity_id),
        FOREIGN KEY(edit_id) REFERENCES edits (id)
    )
    """,
    """
    INSERT INTO new_history (id, edit_id, entity, entity_id, action, "before", "after")
    SELECT id, edit_id, entity, entity_id, action, "before", "after" FROM history
    """,
    # dropping a table deletes its rows without asking its triggers, which go with it
    "DROP TABLE history",
    "ALTER TABLE new_history RENAME TO history",
    "CREATE INDEX ix_history_entity ON history (entity, entity_id)",
    "CREATE TRIGGER history_append_only_update BEFORE UPDATE ON history BEGIN SELECT RAISE(ABORT, 'history is append-only'); END",
    "CREATE TRIGGER history_append_only_delete BEFORE DELETE ON history BEGIN SELECT RAISE(ABORT, 'history is append-only'); END",
)


def upgrade() -> None:
    """Make the tables; what was there stays."""
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Refuse: a project is never made older; its backups folder holds the copy from before."""
    raise NotImplementedError
