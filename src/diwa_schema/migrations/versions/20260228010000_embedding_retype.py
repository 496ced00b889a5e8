"""Make the embeddings of memories vectors of 1536 numbers where pgvector is there; else they stay bytes.

An embedding that is no such vector is kept in the archive, and comes back when this revision is reversed. In a
database that Ecto made, a vector of another length is converted, and bytes stay bytes, as Ecto's own migration does it.
"""

from diwa_schema.migrations import steps

revision = "20260228010000"
down_revision = "20260228000500"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
transactional = False
retypes = ("memories.embedding",)
retypes_back = ("memories.embedding",)


def upgrade() -> None:
    steps.retype_embedding("memories", to="vector", unasked=True)


def downgrade() -> None:
    steps.retype_embedding("memories", to="bytes")
