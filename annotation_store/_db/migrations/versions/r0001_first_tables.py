# ruff: noqa: E501
"""The first tables: fields, readings, regions, cells, suggestions, models, runs, history.

The statements are written out, not taken from `tables`: a migration must not change when the tables do.
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_STATEMENTS = (
    """
    CREATE TABLE annotators (
        id INTEGER NOT NULL,
        name VARCHAR NOT NULL,
        active_seconds FLOAT DEFAULT 0 NOT NULL,
        PRIMARY KEY (id),
        UNIQUE (name)
    )
    """,
    """
    CREATE TABLE fields (
        id INTEGER NOT NULL,
        name VARCHAR NOT NULL,
        width INTEGER NOT NULL,
        height INTEGER NOT NULL,
        content_hash VARCHAR NOT NULL,
        suffix VARCHAR NOT NULL,
        source_path TEXT NOT NULL,
        patient VARCHAR,
        slide VARCHAR,
        domain VARCHAR,
        pixel_size_um FLOAT,
        microscope VARCHAR,
        camera VARCHAR,
        magnification FLOAT,
        stain VARCHAR,
        quality VARCHAR,
        note TEXT DEFAULT '' NOT NULL,
        added VARCHAR NOT NULL,
        PRIMARY KEY (id),
        CONSTRAINT size_sane CHECK (width > 0 AND height > 0),
        CONSTRAINT pixel_size_sane CHECK (pixel_size_um IS NULL OR pixel_size_um > 0),
        UNIQUE (name),
        UNIQUE (content_hash)
    )
    """,
    """
    CREATE TABLE models (
        id INTEGER NOT NULL,
        parent VARCHAR DEFAULT '' NOT NULL,
        created VARCHAR NOT NULL,
        ready BOOLEAN DEFAULT 0 NOT NULL,
        active BOOLEAN DEFAULT 0 NOT NULL,
        card JSON NOT NULL,
        PRIMARY KEY (id),
        CONSTRAINT active_is_ready CHECK (ready OR NOT active)
    )
    """,
    """
    CREATE UNIQUE INDEX ux_models_active ON models (active) WHERE active = 1
    """,
    """
    CREATE TABLE project (
        id INTEGER NOT NULL,
        uid VARCHAR NOT NULL,
        created VARCHAR NOT NULL,
        secret VARCHAR NOT NULL,
        schema JSON NOT NULL,
        PRIMARY KEY (id),
        CONSTRAINT one_row CHECK (id = 1)
    )
    """,
    """
    CREATE TABLE readings (
        id INTEGER NOT NULL,
        name VARCHAR NOT NULL,
        annotator VARCHAR NOT NULL,
        blind BOOLEAN DEFAULT 0 NOT NULL,
        PRIMARY KEY (id),
        UNIQUE (name)
    )
    """,
    """
    CREATE TABLE edits (
        id INTEGER NOT NULL,
        at VARCHAR NOT NULL,
        annotator VARCHAR NOT NULL,
        field_id INTEGER,
        reading_id INTEGER,
        command TEXT NOT NULL,
        kind VARCHAR NOT NULL,
        undoes INTEGER,
        below INTEGER,
        undo_top INTEGER,
        redo_top INTEGER,
        redo_below INTEGER,
        PRIMARY KEY (id),
        CONSTRAINT kind_known CHECK (kind IN ('do', 'undo', 'redo', 'system')),
        FOREIGN KEY(field_id) REFERENCES fields (id),
        FOREIGN KEY(reading_id) REFERENCES readings (id),
        FOREIGN KEY(undoes) REFERENCES edits (id)
    )
    """,
    """
    CREATE INDEX ix_edits_stack ON edits (field_id, annotator, id)
    """,
    """
    CREATE TABLE ignore_areas (
        id INTEGER NOT NULL,
        field_id INTEGER NOT NULL,
        reading_id INTEGER NOT NULL,
        shape JSON NOT NULL,
        deleted BOOLEAN DEFAULT 0 NOT NULL,
        PRIMARY KEY (id),
        FOREIGN KEY(field_id) REFERENCES fields (id),
        FOREIGN KEY(reading_id) REFERENCES readings (id)
    )
    """,
    """
    CREATE INDEX ix_ignore_areas_field ON ignore_areas (field_id, reading_id, deleted)
    """,
    """
    CREATE TABLE regions (
        id INTEGER NOT NULL,
        field_id INTEGER NOT NULL,
        reading_id INTEGER NOT NULL,
        shape JSON NOT NULL,
        state VARCHAR NOT NULL,
        deleted BOOLEAN DEFAULT 0 NOT NULL,
        PRIMARY KEY (id),
        CONSTRAINT state_known CHECK (state IN ('draft', 'finished')),
        FOREIGN KEY(field_id) REFERENCES fields (id),
        FOREIGN KEY(reading_id) REFERENCES readings (id)
    )
    """,
    """
    CREATE INDEX ix_regions_field ON regions (field_id, reading_id, deleted)
    """,
    """
    CREATE TABLE runs (
        id INTEGER NOT NULL,
        started VARCHAR NOT NULL,
        finished VARCHAR,
        annotator VARCHAR NOT NULL,
        config JSON NOT NULL,
        state VARCHAR NOT NULL,
        model_id INTEGER,
        message TEXT DEFAULT '' NOT NULL,
        PRIMARY KEY (id),
        FOREIGN KEY(model_id) REFERENCES models (id)
    )
    """,
    """
    CREATE TABLE suggestions (
        id INTEGER NOT NULL,
        field_id INTEGER NOT NULL,
        model_id INTEGER,
        x FLOAT NOT NULL,
        y FLOAT NOT NULL,
        w FLOAT NOT NULL,
        h FLOAT NOT NULL,
        confidence FLOAT NOT NULL,
        class_probabilities JSON NOT NULL,
        attribute_probabilities JSON NOT NULL,
        state VARCHAR NOT NULL,
        reason VARCHAR,
        cell_id INTEGER,
        created VARCHAR NOT NULL,
        PRIMARY KEY (id),
        CONSTRAINT box_sane CHECK (x >= 0 AND y >= 0 AND w > 0 AND h > 0),
        CONSTRAINT state_known CHECK (state IN ('pending', 'accepted', 'corrected', 'rejected', 'superseded')),
        CONSTRAINT confidence_is_probability CHECK (confidence >= 0 AND confidence <= 1),
        CONSTRAINT rejected_with_reason CHECK ((state = 'rejected') = (reason IS NOT NULL) AND (reason IS NULL OR reason IN ('not_a_cell', 'duplicate', 'bad_box'))),
        CONSTRAINT accepted_has_cell CHECK ((state IN ('accepted', 'corrected')) = (cell_id IS NOT NULL)),
        FOREIGN KEY(field_id) REFERENCES fields (id),
        FOREIGN KEY(model_id) REFERENCES models (id)
    )
    """,
    """
    CREATE INDEX ix_suggestions_field ON suggestions (field_id, state)
    """,
    """
    CREATE TABLE cells (
        id INTEGER NOT NULL,
        field_id INTEGER NOT NULL,
        reading_id INTEGER NOT NULL,
        x FLOAT NOT NULL,
        y FLOAT NOT NULL,
        w FLOAT NOT NULL,
        h FLOAT NOT NULL,
        cell_class VARCHAR,
        attributes JSON NOT NULL,
        kind VARCHAR,
        cut BOOLEAN DEFAULT 0 NOT NULL,
        comment TEXT DEFAULT '' NOT NULL,
        bookmark BOOLEAN DEFAULT 0 NOT NULL,
        second_opinion BOOLEAN DEFAULT 0 NOT NULL,
        suggestion_id INTEGER,
        extra JSON,
        deleted BOOLEAN DEFAULT 0 NOT NULL,
        PRIMARY KEY (id),
        CONSTRAINT box_sane CHECK (x >= 0 AND y >= 0 AND w > 0 AND h > 0),
        FOREIGN KEY(field_id) REFERENCES fields (id),
        FOREIGN KEY(reading_id) REFERENCES readings (id),
        FOREIGN KEY(suggestion_id) REFERENCES suggestions (id)
    )
    """,
    """
    CREATE INDEX ix_cells_field ON cells (field_id, reading_id, deleted)
    """,
    """
    CREATE TABLE history (
        id INTEGER NOT NULL,
        edit_id INTEGER NOT NULL,
        entity VARCHAR NOT NULL,
        entity_id INTEGER NOT NULL,
        action VARCHAR NOT NULL,
        "before" JSON,
        "after" JSON,
        PRIMARY KEY (id),
        CONSTRAINT entity_known CHECK (entity IN ('cell', 'region', 'ignore_area', 'suggestion', 'field')),
        CONSTRAINT action_known CHECK (action IN ('add', 'change', 'delete')),
        CONSTRAINT once_per_edit UNIQUE (edit_id, entity, entity_id),
        FOREIGN KEY(edit_id) REFERENCES edits (id)
    )
    """,
    """
    CREATE INDEX ix_history_entity ON history (entity, entity_id)
    """,
    """
    CREATE TRIGGER history_append_only_update BEFORE UPDATE ON history BEGIN SELECT RAISE(ABORT, 'history is append-only'); END
    """,
    """
    CREATE TRIGGER history_append_only_delete BEFORE DELETE ON history BEGIN SELECT RAISE(ABORT, 'history is append-only'); END
    """,
    """
    CREATE TRIGGER edits_append_only_update BEFORE UPDATE ON edits BEGIN SELECT RAISE(ABORT, 'edits is append-only'); END
    """,
    """
    CREATE TRIGGER edits_append_only_delete BEFORE DELETE ON edits BEGIN SELECT RAISE(ABORT, 'edits is append-only'); END
    """,
    """
    CREATE TRIGGER cells_in_field_insert BEFORE INSERT ON cells WHEN EXISTS (SELECT 1 FROM fields WHERE id = NEW.field_id AND (NEW.x + NEW.w > width + 0.001 OR NEW.y + NEW.h > height + 0.001)) BEGIN SELECT RAISE(ABORT, 'box outside the field'); END
    """,
    """
    CREATE TRIGGER cells_in_field_update BEFORE UPDATE OF x, y, w, h, field_id ON cells WHEN EXISTS (SELECT 1 FROM fields WHERE id = NEW.field_id AND (NEW.x + NEW.w > width + 0.001 OR NEW.y + NEW.h > height + 0.001)) BEGIN SELECT RAISE(ABORT, 'box outside the field'); END
    """,
)


def upgrade() -> None:
    """Create the tables and triggers."""
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Refuse: a project is never made older; its backups folder holds the copy from before."""
    raise NotImplementedError
