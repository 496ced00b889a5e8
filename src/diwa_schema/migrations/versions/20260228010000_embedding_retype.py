"""Turn memory embeddings into vectors of 1536 numbers if pgvector is installed; otherwise keep bytes.

An embedding that is not such a vector goes to the archive, and the downgrade brings it back, but not mere characters,
which the bytes refuse from then on. In a database that Ecto created, vectors of another length are converted and bytes
stay bytes, as in Ecto's own migration.
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
