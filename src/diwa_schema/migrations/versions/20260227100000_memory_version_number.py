"""Add a number to the versions of a memory; existing versions get number 1.

A temporary default supplies the number without writing a single row.
"""

import sqlalchemy as sa
from alembic import op

from diwa_schema.migrations import steps
from diwa_schema.models.types import Count

revision = "20260227100000"
down_revision = "20260124050337"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
drops = ("memory_versions.version_number",)


def upgrade() -> None:
    steps.add_column_with_first_value("memory_versions", sa.Column("version_number", Count()), "1")


def downgrade() -> None:
    op.drop_column("memory_versions", "version_number")
