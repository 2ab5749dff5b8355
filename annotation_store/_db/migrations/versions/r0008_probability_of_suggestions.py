"""The probability of what a suggestion states, to order and filter by."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_STATEMENTS = (
    "ALTER TABLE suggestions ADD COLUMN probability FLOAT DEFAULT 0 NOT NULL",
    # what is damaged stays as it is, for `check` to name it
    """
    UPDATE suggestions SET probability = confidence * coalesce((
        SELECT max(share.value)
        FROM json_each(
            CASE WHEN json_valid(class_probabilities) THEN class_probabilities ELSE '{}' END
        ) AS share
        WHERE share.type IN ('real', 'integer')
    ), 1)
    """,
    "CREATE INDEX ix_suggestions_waiting ON suggestions (state, field_id, probability)",
)


def upgrade() -> None:
    """Add the column and fill it."""
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Refuse: a project is never made older; its backups folder holds the copy from before."""
    raise NotImplementedError
