"""Add an embedding to memories, as bytes; a later revision makes it a vector."""

import sqlalchemy as sa
from alembic import op

from diwa_schema.migrations import steps

revision = "20251229030717"
down_revision = "20251227043000"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
drops = ("memories.embedding", "diwa_schema_embedding_archive")


def upgrade() -> None:
    op.add_column("memories", sa.Column("embedding", sa.LargeBinary()))


def downgrade() -> None:
    steps.abandon_retype("memories")
    steps.drop_embedding_archive()
    op.drop_column("memories", "embedding")
