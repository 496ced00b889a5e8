"""Create the API keys of an organization."""

import sqlalchemy as sa
from alembic import op

from diwa_schema.models.types import ShortText, Timestamp, UniqueId

revision = "20260107200000"
down_revision = "20260107000000"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
drops = ("api_keys",)


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", UniqueId(), nullable=True),
        sa.Column("name", ShortText(), nullable=False),
        sa.Column("key_hash", ShortText(), nullable=False),
        sa.Column("key_prefix", ShortText(), nullable=False),
        sa.Column("organization_id", UniqueId(), nullable=False),
        sa.Column("status", ShortText(), server_default="active"),
        sa.Column("last_used_at", Timestamp(6)),
        sa.Column("expires_at", Timestamp(6)),
        sa.Column("inserted_at", Timestamp(6), nullable=False),
        sa.Column("updated_at", Timestamp(6), nullable=False),
        sa.PrimaryKeyConstraint("id", name="api_keys_pkey"),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name="api_keys_organization_id_fkey",
            ondelete="CASCADE",
        ),
    )
    op.create_index("api_keys_key_hash_index", "api_keys", ["key_hash"], unique=True)
    op.create_index("api_keys_key_prefix_index", "api_keys", ["key_prefix"])
    op.create_index("api_keys_organization_id_index", "api_keys", ["organization_id"])


def downgrade() -> None:
    op.drop_table("api_keys")
