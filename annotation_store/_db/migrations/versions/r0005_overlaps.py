"""Fields that overlap: which, and where the other one lies."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; no field is known to overlap another."""
    op.execute("ALTER TABLE fields ADD COLUMN overlaps JSON")


def downgrade() -> None:
    """Refuse: a project is never made older; its backups folder holds the copy from before."""
    raise NotImplementedError
