"""Create the panels of a workspace."""

import sqlalchemy as sa
from alembic import op

from diwa_schema.models.types import Count, ShortText, Timestamp, UniqueId

revision = "20260118022000"
down_revision = "20260118021500"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
drops = ("panels",)


def upgrade() -> None:
    op.create_table(
        "panels",
        sa.Column("id", ShortText(), nullable=True),
        sa.Column("provider", ShortText(), nullable=False),
        sa.Column("model", ShortText()),
        sa.Column("preset_role", ShortText()),
        sa.Column("position", Count()),
        sa.Column("workspace_id", UniqueId()),
        sa.Column("inserted_at", Timestamp(0), nullable=False),
        sa.Column("updated_at", Timestamp(0), nullable=False),
        sa.PrimaryKeyConstraint("id", name="panels_pkey"),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name="panels_workspace_id_fkey", ondelete="CASCADE"
        ),
    )
    op.create_index("panels_workspace_id_index", "panels", ["workspace_id"])
    op.create_index("panels_workspace_id_position_index", "panels", ["workspace_id", "position"])


def downgrade() -> None:
    op.drop_table("panels")
