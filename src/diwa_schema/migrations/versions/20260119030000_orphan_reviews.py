"""Create the log of reviewed orphan sessions."""

import sqlalchemy as sa
from alembic import op

from diwa_schema.models.types import Count, Document, ShortText, Timestamp, UniqueId

revision = "20260119030000"
down_revision = "20260119010043"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
drops = ("orphan_review_logs",)


def upgrade() -> None:
    op.create_table(
        "orphan_review_logs",
        sa.Column("id", UniqueId(), nullable=True),
        sa.Column("session_id", UniqueId(), nullable=False),
        sa.Column("context_id", UniqueId(), nullable=False),
        sa.Column("action", ShortText(), nullable=False),
        sa.Column("actor", ShortText(), nullable=False),
        sa.Column("reviewer_actor", ShortText(), nullable=False),
        sa.Column("operation_count", Count(), server_default=sa.text("0")),
        sa.Column("metadata", Document(sqlite="JSONB"), server_default="{}"),
        sa.Column("inserted_at", Timestamp(0), nullable=False),
        sa.Column("updated_at", Timestamp(0), nullable=False),
        sa.PrimaryKeyConstraint("id", name="orphan_review_logs_pkey"),
    )
    op.create_index("orphan_review_logs_action_index", "orphan_review_logs", ["action"])
    op.create_index("orphan_review_logs_context_id_index", "orphan_review_logs", ["context_id"])
    op.create_index("orphan_review_logs_session_id_index", "orphan_review_logs", ["session_id"])


def downgrade() -> None:
    op.drop_table("orphan_review_logs")
