"""Fields that people pass over."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the mark; nothing is skipped yet."""
    op.execute("ALTER TABLE fields ADD COLUMN skipped BOOLEAN DEFAULT 0 NOT NULL")


def downgrade() -> None:
    """Refuse: a project is never made older; its backups folder holds the copy from before."""
    raise NotImplementedError
