"""Readings belong to those who read; the project keeps the rule that finds patients in names."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_MARKED = """
    SELECT e.reading_id, e.annotator, count(DISTINCT e.id) AS n, max(e.id) AS latest
    FROM edits e JOIN history h ON h.edit_id = e.id
    WHERE e.kind = 'do' AND h.entity IN ('cell', 'region', 'ignore_area')
    GROUP BY e.reading_id, e.annotator
"""

_STATEMENTS = (
    "ALTER TABLE annotators ADD COLUMN reading_id INTEGER REFERENCES readings (id)",
    "ALTER TABLE project ADD COLUMN patient_rule TEXT",
    f"CREATE TEMPORARY TABLE marked AS {_MARKED}",
    # who only made the project, and never marked anything, is not its reader
    """
    UPDATE readings SET annotator = (
        SELECT annotator FROM marked WHERE reading_id = readings.id ORDER BY n DESC, latest LIMIT 1
    )
    WHERE id IN (SELECT reading_id FROM marked)
    AND annotator NOT IN (SELECT annotator FROM marked WHERE reading_id = readings.id)
    """,
    # everybody goes on where they worked
    """
    UPDATE annotators SET reading_id = (
        SELECT reading_id FROM marked WHERE annotator = annotators.name ORDER BY latest DESC LIMIT 1
    )
    """,
    "DROP TABLE marked",
)


def upgrade() -> None:
    """Give each reading to who marked in it, and remember where each annotator worked last."""
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Refuse: a project is never made older; its backups folder holds the copy from before."""
    raise NotImplementedError
