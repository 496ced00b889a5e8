"""Turn cached embeddings that are still bytes into vectors if pgvector is installed.

In a database that Ecto created, bytes stay bytes: both types are valid below and above this revision.
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
    steps.retype_embedding("embedding_cache", to="vector", unasked=True)


def downgrade() -> None:
    """Leave the column as it is."""
