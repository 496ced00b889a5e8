"""Create the log of answered requests, unless an agent release has already created it.

The downgrade drops the log only if it is empty and the agent's own migration is not on record. A log that existed
before this revision is never lost.
"""

import sqlalchemy as sa
from alembic import op

from diwa_schema.migrations import steps
from diwa_schema.models.types import LongText, ServerDefault, ShortText, Timestamp, UniqueId

revision = "20260301000000"
down_revision = "20260228010000"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
leaves = ("idempotency_log",)


def upgrade() -> None:
    op.create_table(
        "idempotency_log",
        sa.Column(
            "id",
            UniqueId(),
            server_default=ServerDefault(postgresql="gen_random_uuid()", sqlite="NULL"),
            nullable=True,
        ),
        sa.Column("context_id", UniqueId(), nullable=False),
        sa.Column("client_id", ShortText(), nullable=False),
        sa.Column("tool_name", ShortText(), nullable=False),
        sa.Column("result_id", UniqueId()),
        sa.Column("status", ShortText(), nullable=False),
        sa.Column("error_reason", LongText()),
        sa.Column(
            "processed_at",
            Timestamp(0),
            server_default=ServerDefault(postgresql="now()", sqlite="CURRENT_TIMESTAMP"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name="idempotency_log_pkey"),
        sa.ForeignKeyConstraint(
            ["context_id"], ["contexts.id"], name="idempotency_log_context_id_fkey", ondelete="CASCADE"
        ),
        if_not_exists=True,
    )
    op.create_index(
        "idempotency_log_context_id_client_id_index",
        "idempotency_log",
        ["context_id", "client_id"],
        unique=True,
        if_not_exists=True,
    )
    op.create_index(
        "idempotency_log_processed_at_index", "idempotency_log", ["processed_at"], if_not_exists=True
    )


def downgrade() -> None:
    steps.drop_table_unless_agents("idempotency_log", filled=False)
