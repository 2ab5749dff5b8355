"""How a cell came to be is a column; areas of a whole slide belong to its slide."""

from pathlib import PurePosixPath

import sqlalchemy as sa
from alembic import op

from annotation_store._db.pseudonyms import path_pseudonym

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_IMPORTED = """
UPDATE cells SET origin = 'imported' WHERE suggestion_id IS NULL AND (
    SELECT edits.command FROM history JOIN edits ON edits.id = history.edit_id
    WHERE history.entity = 'cell' AND history.entity_id = cells.id ORDER BY history.id LIMIT 1
) LIKE 'Import %'
"""
"""An import was known by its command alone."""

_SLIDES = "SELECT slide, name, source_path AS path FROM fields WHERE kind = 'slide' AND source_path <> ''"
_OF_SLIDE = """
UPDATE fields SET slide = :slide WHERE kind = 'image' AND slide IS NULL AND source_path = :path
AND note LIKE 'Area %' AND NOT EXISTS (
    SELECT 1 FROM history WHERE entity = 'field' AND entity_id = fields.id
    AND json_type(after, '$.slide') IS NOT NULL
)
"""
"""Where nobody has said that they are of no slide."""


def upgrade() -> None:
    """Add the column and fill it from the history."""
    op.execute(
        "ALTER TABLE cells ADD COLUMN origin VARCHAR NOT NULL DEFAULT 'by hand' "
        "CHECK (origin IN ('by hand', 'suggested', 'imported'))"
    )
    op.execute("UPDATE cells SET origin = 'suggested' WHERE suggestion_id IS NOT NULL")
    op.execute(_IMPORTED)
    connection = op.get_bind()
    slides = connection.exec_driver_sql(_SLIDES).all()
    if slides:
        secret = str(connection.exec_driver_sql("SELECT secret FROM project").scalar_one())
        rows = [
            {
                "slide": slide.slide or PurePosixPath(slide.name).stem,
                "path": path_pseudonym(secret, slide.path),
            }
            for slide in slides
        ]
        connection.execute(sa.text(_OF_SLIDE), rows)


def downgrade() -> None:
    """Refuse: a project is never made older; its backups folder holds the copy from before."""
    raise NotImplementedError
