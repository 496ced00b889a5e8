"""Make the cached embeddings vectors where they are still bytes and pgvector is there.

Below this revision both kinds are at home, so there is nothing to reverse.
"""

from diwa_schema.migrations import steps

revision = "20260302000200"
down_revision = "20260302000100"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
transactional = False
retypes = ("embedding_cache.embedding",)


def upgrade() -> None:
    steps.retype_embedding("embedding_cache", to="vector")


def downgrade() -> None:
    """Leave the column as it is."""
