"""Create short names for tools."""

import sqlalchemy as sa
from alembic import op

from diwa_schema.models.types import ServerDefault, ShortText, TextArray, Timestamp, UniqueId

revision = "20251230112549"
down_revision = "20251230100826"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
drops = ("shortcut_aliases",)


def upgrade() -> None:
    op.create_table(
        "shortcut_aliases",
        sa.Column("id", UniqueId(), nullable=True),
        sa.Column("alias_name", ShortText(), nullable=False),
        sa.Column("target_tool", ShortText(), nullable=False),
        sa.Column(
            "args_schema",
            TextArray(),
            server_default=ServerDefault(postgresql="ARRAY[]::character varying[]", sqlite="'[]'"),
        ),
        sa.Column("inserted_at", Timestamp(0), nullable=False),
        sa.Column("updated_at", Timestamp(0), nullable=False),
        sa.PrimaryKeyConstraint("id", name="shortcut_aliases_pkey"),
    )
    op.create_index("shortcut_aliases_alias_name_index", "shortcut_aliases", ["alias_name"], unique=True)


def downgrade() -> None:
    op.drop_table("shortcut_aliases")
