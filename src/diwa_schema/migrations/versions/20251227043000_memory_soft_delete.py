"""Mark memories as deleted without removing their rows."""

import sqlalchemy as sa
from alembic import op

from diwa_schema.models.types import Timestamp

revision = "20251227043000"
down_revision = "20251227042000"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
drops = ("memories.deleted_at",)


def upgrade() -> None:
    op.add_column("memories", sa.Column("deleted_at", Timestamp(6)))


def downgrade() -> None:
    op.drop_column("memories", "deleted_at")
