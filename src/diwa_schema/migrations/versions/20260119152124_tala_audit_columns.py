"""Add the audit columns of buffered operations, unless the agent's own table already has them."""

import sqlalchemy as sa
from alembic import op

from diwa_schema.migrations import steps
from diwa_schema.models.types import Flag, LongText, ShortText

revision = "20260119152124"
down_revision = "20260119030000"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
rewrites = ("tala_operations",)
drops = (
    "tala_operations.capability_token",
    "tala_operations.phi_flag",
    "tala_operations.merkle_root",
    "tala_operations.audit_hash",
    "tala_operations.degradation_tier",
)


def upgrade() -> None:
    steps.add_column_if_absent("tala_operations", sa.Column("capability_token", LongText()))
    steps.add_column_if_absent(
        "tala_operations", sa.Column("phi_flag", Flag(), server_default=sa.text("false"))
    )
    steps.add_column_if_absent("tala_operations", sa.Column("merkle_root", ShortText()))
    steps.add_column_if_absent("tala_operations", sa.Column("audit_hash", ShortText()))
    steps.add_column_if_absent(
        "tala_operations", sa.Column("degradation_tier", ShortText(), server_default="online")
    )
    op.create_index("tala_operations_audit_hash_index", "tala_operations", ["audit_hash"], if_not_exists=True)
    op.create_index("tala_operations_phi_flag_index", "tala_operations", ["phi_flag"], if_not_exists=True)


def downgrade() -> None:
    op.drop_index("tala_operations_phi_flag_index", "tala_operations")
    op.drop_index("tala_operations_audit_hash_index", "tala_operations")
    op.drop_column("tala_operations", "degradation_tier")
    op.drop_column("tala_operations", "audit_hash")
    op.drop_column("tala_operations", "merkle_root")
    op.drop_column("tala_operations", "phi_flag")
    op.drop_column("tala_operations", "capability_token")
