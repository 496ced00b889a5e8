"""Create the store of encrypted secrets."""

import sqlalchemy as sa
from alembic import op

from diwa_schema.models.types import ShortText, Timestamp, UniqueId

revision = "20251230065643"
down_revision = "20251230063548"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
drops = ("secrets",)


def upgrade() -> None:
    op.create_table(
        "secrets",
        sa.Column("id", UniqueId(), nullable=True),
        sa.Column("key", ShortText(), nullable=False),
        sa.Column("value_encrypted", sa.LargeBinary(), nullable=False),
        sa.Column("inserted_at", Timestamp(0), nullable=False),
        sa.Column("updated_at", Timestamp(0), nullable=False),
        sa.PrimaryKeyConstraint("id", name="secrets_pkey"),
    )
    op.create_index("secrets_key_index", "secrets", ["key"], unique=True)


def downgrade() -> None:
    op.drop_table("secrets")
