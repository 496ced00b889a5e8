"""Create conflict settings, outcomes, escalations and checksums, and the embedding cache."""

import sqlalchemy as sa
from alembic import op

from diwa_schema.migrations import steps
from diwa_schema.models.types import Flag, LongText, Real, ShortText, Timestamp, UniqueId

revision = "20251229230000"
down_revision = "20251229030729"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
drops = (
    "conflict_resolution_outcomes",
    "hitl_escalations",
    "memory_checksums",
    "embedding_cache",
    "contexts.conflict_domain",
    "contexts.conflict_safety_level",
    "contexts.conflict_base_threshold",
    "contexts.conflict_auto_calibrate",
)


def upgrade() -> None:
    op.create_table(
        "conflict_resolution_outcomes",
        sa.Column("id", UniqueId(), nullable=True),
        sa.Column("context_id", UniqueId(), nullable=False),
        sa.Column("conflict_id", UniqueId(), nullable=False),
        sa.Column("resolution_id", UniqueId()),
        sa.Column("threshold_used", Real()),
        sa.Column("outcome", ShortText()),
        sa.Column("feedback_score", Real()),
        sa.Column("inserted_at", Timestamp(0), nullable=False),
        sa.Column("updated_at", Timestamp(0), nullable=False),
        sa.PrimaryKeyConstraint("id", name="conflict_resolution_outcomes_pkey"),
        sa.ForeignKeyConstraint(
            ["context_id"],
            ["contexts.id"],
            name="conflict_resolution_outcomes_context_id_fkey",
            ondelete="CASCADE",
        ),
    )
    op.create_index(
        "conflict_resolution_outcomes_conflict_id_index", "conflict_resolution_outcomes", ["conflict_id"]
    )
    op.create_index(
        "conflict_resolution_outcomes_context_id_index", "conflict_resolution_outcomes", ["context_id"]
    )
    op.create_table(
        "hitl_escalations",
        sa.Column("id", UniqueId(), nullable=True),
        sa.Column("context_id", UniqueId(), nullable=False),
        sa.Column("conflict_id", UniqueId(), nullable=False),
        sa.Column("status", ShortText(), server_default="pending"),
        sa.Column("assigned_to", ShortText()),
        sa.Column("resolution_notes", LongText()),
        sa.Column("inserted_at", Timestamp(0), nullable=False),
        sa.Column("updated_at", Timestamp(0), nullable=False),
        sa.PrimaryKeyConstraint("id", name="hitl_escalations_pkey"),
        sa.ForeignKeyConstraint(
            ["context_id"], ["contexts.id"], name="hitl_escalations_context_id_fkey", ondelete="CASCADE"
        ),
    )
    op.create_index("hitl_escalations_context_id_status_index", "hitl_escalations", ["context_id", "status"])
    op.create_table(
        "memory_checksums",
        sa.Column("memory_id", UniqueId(), nullable=True),
        sa.Column("structure_hash", ShortText()),
        sa.Column("semantic_hash", ShortText()),
        sa.Column("inserted_at", Timestamp(0), nullable=False),
        sa.Column("updated_at", Timestamp(0), nullable=False),
        sa.PrimaryKeyConstraint("memory_id", name="memory_checksums_pkey"),
        sa.ForeignKeyConstraint(
            ["memory_id"], ["memories.id"], name="memory_checksums_memory_id_fkey", ondelete="CASCADE"
        ),
    )
    op.create_table(
        "embedding_cache",
        sa.Column("id", UniqueId(), nullable=True),
        sa.Column("hash", ShortText(), nullable=False),
        sa.Column("model", ShortText(), nullable=False),
        sa.Column("expires_at", Timestamp(0)),
        sa.Column("inserted_at", Timestamp(0), nullable=False),
        sa.Column("updated_at", Timestamp(0), nullable=False),
        sa.PrimaryKeyConstraint("id", name="embedding_cache_pkey"),
    )
    steps.add_embedding("embedding_cache")
    op.create_index("embedding_cache_hash_model_index", "embedding_cache", ["hash", "model"], unique=True)
    op.add_column("contexts", sa.Column("conflict_domain", ShortText(), server_default="general"))
    op.add_column("contexts", sa.Column("conflict_safety_level", ShortText(), server_default="standard"))
    op.add_column("contexts", sa.Column("conflict_base_threshold", Real(), server_default=sa.text("0.85")))
    op.add_column("contexts", sa.Column("conflict_auto_calibrate", Flag(), server_default=sa.text("true")))


def downgrade() -> None:
    steps.abandon_retype("embedding_cache")
    op.drop_table("embedding_cache")
    op.drop_table("memory_checksums")
    op.drop_table("hitl_escalations")
    op.drop_table("conflict_resolution_outcomes")
    op.drop_column("contexts", "conflict_auto_calibrate")
    op.drop_column("contexts", "conflict_base_threshold")
    op.drop_column("contexts", "conflict_safety_level")
    op.drop_column("contexts", "conflict_domain")
