"""Turn memory embeddings that are still bytes into vectors if pgvector is installed.

In a database that Ecto created, bytes stay bytes: both types are valid below and above this revision.
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
