"""Create the statistics of conflict resolution, one row per context."""

import sqlalchemy as sa
from alembic import op

from diwa_schema.models.types import Count, Document, Timestamp, UniqueId

revision = "20251229030729"
down_revision = "20251229030717"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
drops = ("conflict_performance",)


def upgrade() -> None:
    op.create_table(
        "conflict_performance",
        sa.Column("id", UniqueId(), nullable=True),
        sa.Column("context_id", UniqueId(), nullable=False),
        sa.Column("resolutions", Document(), server_default="[]"),
        sa.Column("false_positive_count", Count(), server_default=sa.text("0")),
        sa.Column("false_negative_count", Count(), server_default=sa.text("0")),
        sa.Column("total_count", Count(), server_default=sa.text("0")),
        sa.Column("window_size", Count(), server_default=sa.text("100")),
        sa.Column("inserted_at", Timestamp(0), nullable=False),
        sa.Column("updated_at", Timestamp(0), nullable=False),
        sa.PrimaryKeyConstraint("id", name="conflict_performance_pkey"),
        sa.ForeignKeyConstraint(
            ["context_id"], ["contexts.id"], name="conflict_performance_context_id_fkey", ondelete="CASCADE"
        ),
    )
    op.create_index(
        "conflict_performance_context_id_index", "conflict_performance", ["context_id"], unique=True
    )
    op.create_index("conflict_performance_updated_at_index", "conflict_performance", ["updated_at"])


def downgrade() -> None:
    op.drop_table("conflict_performance")
