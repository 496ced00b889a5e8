"""Add the two memories of an escalation and their similarity score."""

import sqlalchemy as sa
from alembic import op

from diwa_schema.migrations import steps
from diwa_schema.models.types import Real, UniqueId

revision = "20251230035147"
down_revision = "20251229230000"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
drops = ("hitl_escalations.memory_a_id", "hitl_escalations.memory_b_id", "hitl_escalations.score")


def upgrade() -> None:
    steps.add_reference("hitl_escalations", "memory_a_id", UniqueId(), "memories", ondelete="SET NULL")
    steps.add_reference("hitl_escalations", "memory_b_id", UniqueId(), "memories", ondelete="SET NULL")
    op.add_column("hitl_escalations", sa.Column("score", Real()))
    op.create_index("hitl_escalations_memory_a_id_index", "hitl_escalations", ["memory_a_id"])
    op.create_index("hitl_escalations_memory_b_id_index", "hitl_escalations", ["memory_b_id"])


def downgrade() -> None:
    op.drop_index("hitl_escalations_memory_b_id_index", "hitl_escalations")
    op.drop_index("hitl_escalations_memory_a_id_index", "hitl_escalations")
    op.drop_column("hitl_escalations", "score")
    op.drop_column("hitl_escalations", "memory_b_id")
    op.drop_column("hitl_escalations", "memory_a_id")
