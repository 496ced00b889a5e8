"""Create the plans and tasks of a context."""

import sqlalchemy as sa
from alembic import op

from diwa_schema.models.types import Count, LongText, ShortText, Timestamp, UniqueId

revision = "20251226000000"
down_revision = "20251224053423"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
drops = ("plans", "tasks")


def upgrade() -> None:
    op.create_table(
        "plans",
        sa.Column("id", UniqueId(), nullable=True),
        sa.Column("context_id", UniqueId(), nullable=False),
        sa.Column("status", ShortText(), nullable=False),
        sa.Column("completion_pct", Count(), server_default=sa.text("0")),
        sa.Column("notes", LongText()),
        sa.Column("inserted_at", Timestamp(0), nullable=False),
        sa.Column("updated_at", Timestamp(0), nullable=False),
        sa.PrimaryKeyConstraint("id", name="plans_pkey"),
        sa.ForeignKeyConstraint(
            ["context_id"], ["contexts.id"], name="plans_context_id_fkey", ondelete="CASCADE"
        ),
    )
    op.create_index("plans_context_id_index", "plans", ["context_id"])
    op.create_table(
        "tasks",
        sa.Column("id", UniqueId(), nullable=True),
        sa.Column("context_id", UniqueId(), nullable=False),
        sa.Column("title", ShortText(), nullable=False),
        sa.Column("description", LongText()),
        sa.Column("priority", ShortText(), server_default="Medium"),
        sa.Column("status", ShortText(), server_default="pending"),
        sa.Column("inserted_at", Timestamp(0), nullable=False),
        sa.Column("updated_at", Timestamp(0), nullable=False),
        sa.PrimaryKeyConstraint("id", name="tasks_pkey"),
        sa.ForeignKeyConstraint(
            ["context_id"], ["contexts.id"], name="tasks_context_id_fkey", ondelete="CASCADE"
        ),
    )
    op.create_index("tasks_context_id_index", "tasks", ["context_id"])
    op.create_index("tasks_status_index", "tasks", ["status"])


def downgrade() -> None:
    op.drop_table("tasks")
    op.drop_table("plans")
