"""Create agents and the delegations between them."""

import sqlalchemy as sa
from alembic import op

from diwa_schema.models.types import LongText, ShortText, Timestamp, UniqueId

revision = "20260107000000"
down_revision = "20260105185807"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
drops = ("agents", "delegations")


def upgrade() -> None:
    op.create_table(
        "agents",
        sa.Column("id", UniqueId(), nullable=True),
        sa.Column("name", ShortText(), nullable=False),
        sa.Column("role", ShortText(), nullable=False),
        sa.Column("capabilities", LongText()),
        sa.Column("status", ShortText(), server_default="active"),
        sa.Column("context_id", UniqueId()),
        sa.Column("inserted_at", Timestamp(6), nullable=False),
        sa.Column("updated_at", Timestamp(6), nullable=False),
        sa.PrimaryKeyConstraint("id", name="agents_pkey"),
        sa.ForeignKeyConstraint(
            ["context_id"], ["contexts.id"], name="agents_context_id_fkey", ondelete="CASCADE"
        ),
    )
    op.create_index("agents_context_id_index", "agents", ["context_id"])
    op.create_index("agents_role_index", "agents", ["role"])
    op.create_index("agents_status_index", "agents", ["status"])
    op.create_table(
        "delegations",
        sa.Column("id", UniqueId(), nullable=True),
        sa.Column("task_definition", LongText(), nullable=False),
        sa.Column("status", ShortText(), server_default="pending"),
        sa.Column("result_summary", LongText()),
        sa.Column("artifacts", LongText()),
        sa.Column("constraints", LongText()),
        sa.Column("from_agent_id", UniqueId(), nullable=False),
        sa.Column("to_agent_id", UniqueId()),
        sa.Column("context_id", UniqueId(), nullable=False),
        sa.Column("inserted_at", Timestamp(6), nullable=False),
        sa.Column("updated_at", Timestamp(6), nullable=False),
        sa.PrimaryKeyConstraint("id", name="delegations_pkey"),
        sa.ForeignKeyConstraint(
            ["context_id"], ["contexts.id"], name="delegations_context_id_fkey", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["from_agent_id"], ["agents.id"], name="delegations_from_agent_id_fkey", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["to_agent_id"], ["agents.id"], name="delegations_to_agent_id_fkey", ondelete="CASCADE"
        ),
    )
    op.create_index("delegations_context_id_index", "delegations", ["context_id"])
    op.create_index("delegations_from_agent_id_index", "delegations", ["from_agent_id"])
    op.create_index("delegations_status_index", "delegations", ["status"])
    op.create_index("delegations_to_agent_id_index", "delegations", ["to_agent_id"])


def downgrade() -> None:
    op.drop_table("delegations")
    op.drop_table("agents")
