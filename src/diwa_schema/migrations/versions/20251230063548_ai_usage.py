"""Create the usage records of language models."""

import sqlalchemy as sa
from alembic import op

from diwa_schema.models.types import Cost, Count, ShortText, Timestamp, UniqueId

revision = "20251230063548"
down_revision = "20251230035147"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
drops = ("usage_records",)


def upgrade() -> None:
    op.create_table(
        "usage_records",
        sa.Column("id", UniqueId(), nullable=True),
        sa.Column("context_id", UniqueId(), nullable=False),
        sa.Column("provider", ShortText(), nullable=False),
        sa.Column("model", ShortText(), nullable=False),
        sa.Column("operation", ShortText(), nullable=False),
        sa.Column("tokens_input", Count(), server_default=sa.text("0")),
        sa.Column("tokens_output", Count(), server_default=sa.text("0")),
        sa.Column("total_tokens", Count(), server_default=sa.text("0")),
        sa.Column("cost_estimate", Cost()),
        sa.Column("duration_ms", Count()),
        sa.Column("inserted_at", Timestamp(0), nullable=False),
        sa.Column("updated_at", Timestamp(0), nullable=False),
        sa.PrimaryKeyConstraint("id", name="usage_records_pkey"),
        sa.ForeignKeyConstraint(["context_id"], ["contexts.id"], name="usage_records_context_id_fkey"),
    )
    op.create_index("usage_records_context_id_index", "usage_records", ["context_id"])
    op.create_index("usage_records_inserted_at_index", "usage_records", ["inserted_at"])


def downgrade() -> None:
    op.drop_table("usage_records")
