"""Install pgvector if the server offers it and the role may install it.

Every later revision also works without it: embeddings are bytes then. A database that Ecto created does not get the
extension unless somebody asks for it.
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
    """Keep the extension: other applications may use it."""
