"""Create the checkpoints of a session's buffer."""

import sqlalchemy as sa
from alembic import op

from diwa_schema.models.types import Count, Document, ShortText, Timestamp, UniqueId

revision = "20260119010043"
down_revision = "20260118022500"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
drops = ("checkpoints",)


def upgrade() -> None:
    op.create_table(
        "checkpoints",
        sa.Column("id", UniqueId(), nullable=True),
        sa.Column("session_id", UniqueId(), nullable=False),
        sa.Column("sequence_number", Count(), nullable=False),
        sa.Column("buffer_snapshot", Document(sqlite="JSONB"), nullable=False),
        sa.Column("operation_count", Count(), nullable=False),
        sa.Column("byte_size", Count(), nullable=False),
        sa.Column("checksum", ShortText(64), nullable=False),
        sa.Column("created_at", Timestamp(0), nullable=False),
        sa.PrimaryKeyConstraint("id", name="checkpoints_pkey"),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name="checkpoints_session_id_fkey", ondelete="CASCADE"
        ),
    )
    op.create_index("checkpoints_created_at_index", "checkpoints", ["created_at"])
    op.create_index("checkpoints_session_id_index", "checkpoints", ["session_id"])
    op.create_index(
        "checkpoints_session_id_sequence_number_index",
        "checkpoints",
        ["session_id", "sequence_number"],
        unique=True,
    )


def downgrade() -> None:
    op.drop_table("checkpoints")
