"""Create workspaces."""

import sqlalchemy as sa
from alembic import op

from diwa_schema.models.types import ServerDefault, ShortText, TextArray, Timestamp, UniqueId

revision = "20260118021500"
down_revision = "20260117075000"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
drops = ("workspaces",)


def upgrade() -> None:
    op.create_table(
        "workspaces",
        sa.Column("id", UniqueId(), nullable=True),
        sa.Column("name", ShortText(), nullable=False),
        sa.Column("layout_type", ShortText(), server_default="single"),
        sa.Column(
            "ide_panel_order",
            TextArray(),
            server_default=ServerDefault(
                postgresql="ARRAY['explorer'::varchar, 'chat'::varchar, 'code'::varchar]",
                sqlite='\'["explorer","chat","code"]\'',
            ),
        ),
        sa.Column("inserted_at", Timestamp(0), nullable=False),
        sa.Column("updated_at", Timestamp(0), nullable=False),
        sa.PrimaryKeyConstraint("id", name="workspaces_pkey"),
    )
    op.create_index("workspaces_name_index", "workspaces", ["name"])


def downgrade() -> None:
    op.drop_table("workspaces")
