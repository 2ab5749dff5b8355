"""Sets of values, and films where nothing was checked; suggestions made before claim no sets."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    op.execute("ALTER TABLE suggestions ADD COLUMN unchecked BOOLEAN NOT NULL DEFAULT 0")
    op.execute("ALTER TABLE suggestions ADD COLUMN sets JSON NOT NULL DEFAULT '{}'")


def downgrade() -> None:
    """Refuse: a project is never made older; its backups folder holds the copy from before."""
    raise NotImplementedError
