"""Create the buffer of tool operations, or give the agent's own table of that name the same shape.

A running agent can use its table during this revision, and its ids stay uuids. The downgrade keeps the table if the
agent's own migration is on record.
"""

import sqlalchemy as sa
from alembic import op

from diwa_schema.migrations import steps
from diwa_schema.models.types import Document, ShortText, Timestamp, UniqueId

revision = "20260117075000"
down_revision = "20260107203000"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
drops = ("tala_operations",)
leaves = ("tala_operations",)


def upgrade() -> None:
    steps.create_buffer(
        sa.Column("id", UniqueId(), nullable=True),
        sa.Column("session_id", ShortText()),
        sa.Column("context_id", ShortText()),
        sa.Column("tool_name", ShortText()),
        sa.Column("params", Document()),
        sa.Column("actor", ShortText()),
        sa.Column("status", ShortText(), server_default="pending"),
        sa.Column("inserted_at", Timestamp(0), nullable=False),
        sa.PrimaryKeyConstraint("id", name="tala_operations_pkey"),
    )
    op.create_index("tala_operations_session_id_index", "tala_operations", ["session_id"], if_not_exists=True)
    op.create_index("tala_operations_status_index", "tala_operations", ["status"], if_not_exists=True)


def downgrade() -> None:
    steps.drop_table_unless_agents("tala_operations")
