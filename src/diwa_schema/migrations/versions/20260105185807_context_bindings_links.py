"""Bind contexts to paths, git remotes and variables, and link contexts to each other."""

import sqlalchemy as sa
from alembic import op

from diwa_schema.migrations import steps
from diwa_schema.models.types import Document, ShortText, Timestamp, UniqueId

revision = "20260105185807"
down_revision = "20251231080526"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
drops = ("context_bindings", "context_relationships")


def upgrade() -> None:
    op.create_table(
        "context_bindings",
        sa.Column("id", UniqueId(), nullable=True),
        sa.Column("context_id", UniqueId(), nullable=False),
        sa.Column("binding_type", ShortText(), nullable=False),
        sa.Column("value", ShortText(), nullable=False),
        sa.Column("metadata", Document(), server_default="{}"),
        sa.Column("inserted_at", Timestamp(6), nullable=False),
        sa.Column("updated_at", Timestamp(6), nullable=False),
        sa.PrimaryKeyConstraint("id", name="context_bindings_pkey"),
        sa.ForeignKeyConstraint(
            ["context_id"], ["contexts.id"], name="context_bindings_context_id_fkey", ondelete="CASCADE"
        ),
    )
    op.create_index(
        "context_bindings_context_id_binding_type_value_index",
        "context_bindings",
        ["context_id", "binding_type", "value"],
        unique=True,
    )
    op.create_index("context_bindings_context_id_index", "context_bindings", ["context_id"])
    op.create_table(
        "context_relationships",
        sa.Column("id", UniqueId(), nullable=True),
        sa.Column("source_context_id", UniqueId(), nullable=False),
        sa.Column("target_context_id", UniqueId(), nullable=False),
        sa.Column("relationship_type", ShortText(), nullable=False),
        sa.Column("metadata", Document(), server_default="{}"),
        sa.Column("inserted_at", Timestamp(6), nullable=False),
        sa.Column("updated_at", Timestamp(6), nullable=False),
        sa.PrimaryKeyConstraint("id", name="context_relationships_pkey"),
        sa.ForeignKeyConstraint(
            ["source_context_id"],
            ["contexts.id"],
            name="context_relationships_source_context_id_fkey",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["target_context_id"],
            ["contexts.id"],
            name="context_relationships_target_context_id_fkey",
            ondelete="CASCADE",
        ),
    )
    op.create_index(
        "context_relationships_source_context_id_index", "context_relationships", ["source_context_id"]
    )
    op.create_index(
        steps.index_name("context_relationships_source_context_id_target_context_id_relationship_type_index"),
        "context_relationships",
        ["source_context_id", "target_context_id", "relationship_type"],
        unique=True,
    )
    op.create_index(
        "context_relationships_target_context_id_index", "context_relationships", ["target_context_id"]
    )


def downgrade() -> None:
    op.drop_table("context_relationships")
    op.drop_table("context_bindings")
