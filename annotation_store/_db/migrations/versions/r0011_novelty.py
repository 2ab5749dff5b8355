"""How unlike anything taught a suggested cell is; suggestions made before are without."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column, empty."""
    op.execute("ALTER TABLE suggestions ADD COLUMN novelty FLOAT")


def downgrade() -> None:
    """Refuse: a project is never made older; its backups folder holds the copy from before."""
    raise NotImplementedError
