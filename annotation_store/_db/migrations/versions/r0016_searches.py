"""Searches of whole slides: which tiles a model has searched, so that it goes on where it was stopped."""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.execute(
        "CREATE TABLE searches (id INTEGER NOT NULL, field_id INTEGER NOT NULL, model_id INTEGER, "
        "about JSON NOT NULL, created VARCHAR NOT NULL, PRIMARY KEY (id), "
        "FOREIGN KEY(field_id) REFERENCES fields (id), FOREIGN KEY(model_id) REFERENCES models (id))"
    )
    op.execute("CREATE INDEX ix_searches_field ON searches (field_id, id)")
    op.execute(
        "CREATE TABLE searched_tiles (search_id INTEGER NOT NULL, tile INTEGER NOT NULL, "
        "state VARCHAR NOT NULL, first INTEGER NOT NULL, count INTEGER NOT NULL, "
        "PRIMARY KEY (search_id, tile), FOREIGN KEY(search_id) REFERENCES searches (id), "
        "CONSTRAINT state_known CHECK (state IN ('searched', 'empty', 'damaged')))"
    )


def downgrade() -> None:
    """Refuse: a project is never made older; its backups folder holds the copy from before."""
    raise NotImplementedError
