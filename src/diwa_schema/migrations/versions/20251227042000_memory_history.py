"""Create the history of memories."""

import sqlalchemy as sa
from alembic import op

from diwa_schema.models.types import (
    Document,
    LongText,
    ServerDefault,
    ShortText,
    TextArray,
    Timestamp,
    UniqueId,
)

revision = "20251227042000"
down_revision = "20251226010000"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
drops = ("memory_versions",)


def upgrade() -> None:
    op.create_table(
        "memory_versions",
        sa.Column(
            "id",
            UniqueId(),
            server_default=ServerDefault(postgresql="gen_random_uuid()", sqlite="NULL"),
            nullable=True,
        ),
        sa.Column("memory_id", UniqueId(), nullable=False),
        sa.Column("content", LongText(), nullable=False),
        sa.Column(
            "tags",
            TextArray(),
            server_default=ServerDefault(postgresql="ARRAY[]::character varying[]", sqlite="'[]'"),
        ),
        sa.Column("metadata", Document(), server_default="{}"),
        sa.Column("operation", ShortText(), nullable=False),
        sa.Column("actor", ShortText()),
        sa.Column("reason", LongText()),
        sa.Column("parent_version_id", UniqueId()),
        sa.Column("inserted_at", Timestamp(0), nullable=False),
        sa.Column("updated_at", Timestamp(0), nullable=False),
        sa.PrimaryKeyConstraint("id", name="memory_versions_pkey"),
        sa.ForeignKeyConstraint(
            ["memory_id"], ["memories.id"], name="memory_versions_memory_id_fkey", ondelete="CASCADE"
        ),
    )
    op.create_index("memory_versions_inserted_at_index", "memory_versions", ["inserted_at"])
    op.create_index("memory_versions_memory_id_index", "memory_versions", ["memory_id"])


def downgrade() -> None:
    op.drop_table("memory_versions")
