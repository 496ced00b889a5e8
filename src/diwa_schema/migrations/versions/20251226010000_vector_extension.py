"""Install pgvector where the server has it and the role may.

Without it every later revision works as well: embeddings are bytes then. A database that Ecto made gets no extension
unasked.
"""

from diwa_schema.migrations import steps

revision = "20251226010000"
down_revision = "20251226000000"
branch_labels = None
depends_on = None

phase = "expand"
floor = None


def upgrade() -> None:
    steps.create_vector_extension()


def downgrade() -> None:
    """Leave the extension: other applications may use it."""
