"""Whole slides: a field is an image in the project, or a slide that lies elsewhere."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_STATEMENTS = (
    "ALTER TABLE fields ADD COLUMN kind VARCHAR DEFAULT 'image' NOT NULL "
    "CONSTRAINT kind_known CHECK (kind IN ('image', 'slide'))",
    "ALTER TABLE fields ADD COLUMN source_bytes INTEGER",
)


def upgrade() -> None:
    """Add the columns; every field so far is an image."""
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Refuse: a project is never made older; its backups folder holds the copy from before."""
    raise NotImplementedError
