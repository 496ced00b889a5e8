"""Make the embeddings of memories vectors where they are still bytes and pgvector is there.

In a database that Ecto made, bytes stay bytes: both kinds are at home, below this revision and above it.
"""

from diwa_schema.migrations import steps

revision = "20260302000100"
down_revision = "20260302000000"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
transactional = False
retypes = ("memories.embedding",)


def upgrade() -> None:
    steps.retype_embedding("memories", to="vector", unasked=True)


def downgrade() -> None:
    """Leave the column as it is."""
