"""Sort memories by class, priority and lifetime; create sessions and ingest jobs."""

import sqlalchemy as sa
from alembic import op

from diwa_schema.models.types import Count, Document, LongText, Real, ShortText, Timestamp, UniqueId

revision = "20251231080526"
down_revision = "20251230112549"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
rewrites = ("memories",)
drops = (
    "sessions",
    "ingest_jobs",
    "memories.memory_class",
    "memories.priority",
    "memories.lifecycle",
    "memories.confidence",
    "memories.source",
    "memories.occurrence_count",
    "memories.last_accessed_at",
    "memories.expires_at",
)


def upgrade() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", UniqueId(), nullable=True),
        sa.Column("context_id", UniqueId(), nullable=False),
        sa.Column("actor", ShortText()),
        sa.Column("started_at", Timestamp(6)),
        sa.Column("ended_at", Timestamp(6)),
        sa.Column("summary", LongText()),
        sa.Column("metadata", Document(), server_default="{}"),
        sa.Column("inserted_at", Timestamp(6), nullable=False),
        sa.Column("updated_at", Timestamp(6), nullable=False),
        sa.PrimaryKeyConstraint("id", name="sessions_pkey"),
        sa.ForeignKeyConstraint(
            ["context_id"], ["contexts.id"], name="sessions_context_id_fkey", ondelete="CASCADE"
        ),
    )
    op.create_index("sessions_actor_index", "sessions", ["actor"])
    op.create_index("sessions_context_id_index", "sessions", ["context_id"])
    op.create_table(
        "ingest_jobs",
        sa.Column("id", UniqueId(), nullable=True),
        sa.Column("context_id", UniqueId(), nullable=False),
        sa.Column("status", ShortText()),
        sa.Column("source_type", ShortText()),
        sa.Column("source_path", ShortText()),
        sa.Column("stats", Document(), server_default="{}"),
        sa.Column("metadata", Document(), server_default="{}"),
        sa.Column("inserted_at", Timestamp(6), nullable=False),
        sa.Column("updated_at", Timestamp(6), nullable=False),
        sa.PrimaryKeyConstraint("id", name="ingest_jobs_pkey"),
        sa.ForeignKeyConstraint(
            ["context_id"], ["contexts.id"], name="ingest_jobs_context_id_fkey", ondelete="CASCADE"
        ),
    )
    op.create_index("ingest_jobs_context_id_index", "ingest_jobs", ["context_id"])
    op.create_index("ingest_jobs_status_index", "ingest_jobs", ["status"])
    op.add_column("memories", sa.Column("memory_class", ShortText()))
    op.add_column("memories", sa.Column("priority", ShortText()))
    op.add_column("memories", sa.Column("lifecycle", ShortText()))
    op.add_column("memories", sa.Column("confidence", Real()))
    op.add_column("memories", sa.Column("source", ShortText()))
    op.add_column("memories", sa.Column("occurrence_count", Count(), server_default=sa.text("1")))
    op.add_column("memories", sa.Column("last_accessed_at", Timestamp(6)))
    op.add_column("memories", sa.Column("expires_at", Timestamp(6)))
    op.create_index("memories_expires_at_index", "memories", ["expires_at"])
    op.create_index("memories_memory_class_index", "memories", ["memory_class"])
    op.create_index("memories_priority_index", "memories", ["priority"])


def downgrade() -> None:
    op.drop_table("ingest_jobs")
    op.drop_table("sessions")
    op.drop_index("memories_priority_index", "memories")
    op.drop_index("memories_memory_class_index", "memories")
    op.drop_index("memories_expires_at_index", "memories")
    op.drop_column("memories", "expires_at")
    op.drop_column("memories", "last_accessed_at")
    op.drop_column("memories", "occurrence_count")
    op.drop_column("memories", "source")
    op.drop_column("memories", "confidence")
    op.drop_column("memories", "lifecycle")
    op.drop_column("memories", "priority")
    op.drop_column("memories", "memory_class")
