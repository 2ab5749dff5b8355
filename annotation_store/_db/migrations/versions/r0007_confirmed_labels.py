"""Labels that somebody confirmed although a model contradicted them."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; nothing is confirmed yet."""
    op.execute("ALTER TABLE cells ADD COLUMN confirmed JSON")


def downgrade() -> None:
    """Refuse: a project is never made older; its backups folder holds the copy from before."""
    raise NotImplementedError
