"""Index usage by organization and time, including usage of deleted contexts."""

from diwa_schema.migrations import steps

revision = "20260306000200"
down_revision = "20260306000100"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
transactional = False

NAME = "usage_records_organization_id_inserted_at_index"


def upgrade() -> None:
    steps.create_index_concurrently(NAME, "usage_records", ["organization_id", "inserted_at"])


def downgrade() -> None:
    steps.drop_index_concurrently(NAME, "usage_records")
