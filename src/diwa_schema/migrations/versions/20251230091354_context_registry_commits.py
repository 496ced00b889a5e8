"""Create the registry of contexts and their commits."""

import sqlalchemy as sa
from alembic import op

from diwa_schema.models.types import Document, LongText, ShortText, Timestamp, UniqueId

revision = "20251230091354"
down_revision = "20251230065643"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
drops = ("context_registry", "context_commits")


def upgrade() -> None:
    op.create_table(
        "context_registry",
        sa.Column("id", UniqueId(), nullable=True),
        sa.Column("name", ShortText(), nullable=False),
        sa.Column("context_id", UniqueId()),
        sa.Column("platform_ref", Document(), server_default="{}"),
        sa.Column("inserted_at", Timestamp(0), nullable=False),
        sa.Column("updated_at", Timestamp(0), nullable=False),
        sa.PrimaryKeyConstraint("id", name="context_registry_pkey"),
        sa.ForeignKeyConstraint(
            ["context_id"], ["contexts.id"], name="context_registry_context_id_fkey", ondelete="CASCADE"
        ),
    )
    op.create_index("context_registry_name_index", "context_registry", ["name"], unique=True)
    op.create_table(
        "context_commits",
        sa.Column("id", UniqueId(), nullable=True),
        sa.Column("context_id", UniqueId()),
        sa.Column("hash", ShortText(), nullable=False),
        sa.Column("parent_hash", ShortText()),
        sa.Column("platform", ShortText(), nullable=False),
        sa.Column("message", LongText()),
        sa.Column("inserted_at", Timestamp(0), nullable=False),
        sa.Column("updated_at", Timestamp(0), nullable=False),
        sa.PrimaryKeyConstraint("id", name="context_commits_pkey"),
        sa.ForeignKeyConstraint(
            ["context_id"], ["contexts.id"], name="context_commits_context_id_fkey", ondelete="CASCADE"
        ),
    )
    op.create_index("context_commits_context_id_index", "context_commits", ["context_id"])
    op.create_index("context_commits_hash_index", "context_commits", ["hash"])


def downgrade() -> None:
    op.drop_table("context_commits")
    op.drop_table("context_registry")
