"""Create the messages of a panel."""

import sqlalchemy as sa
from alembic import op

from diwa_schema.models.types import LongText, ShortText, Timestamp

revision = "20260118022500"
down_revision = "20260118022000"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
drops = ("messages",)


def upgrade() -> None:
    op.create_table(
        "messages",
        sa.Column("id", ShortText(), nullable=True),
        sa.Column("role", ShortText()),
        sa.Column("content", LongText()),
        sa.Column("panel_id", ShortText()),
        sa.Column("inserted_at", Timestamp(0), nullable=False),
        sa.Column("updated_at", Timestamp(0), nullable=False),
        sa.PrimaryKeyConstraint("id", name="messages_pkey"),
        sa.ForeignKeyConstraint(
            ["panel_id"], ["panels.id"], name="messages_panel_id_fkey", ondelete="CASCADE"
        ),
    )
    op.create_index("messages_inserted_at_index", "messages", ["inserted_at"])
    op.create_index("messages_panel_id_index", "messages", ["panel_id"])


def downgrade() -> None:
    op.drop_table("messages")
