"""Suggestions whose class and values were predicted again from labels given since."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.execute("ALTER TABLE suggestions ADD COLUMN renewed BOOLEAN NOT NULL DEFAULT 0")


def downgrade() -> None:
    """Refuse: a project is never made older; its backups folder holds the copy from before."""
    raise NotImplementedError
