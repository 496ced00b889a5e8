"""Index contexts by organization and name, regardless of case.

The index is not unique: the applications accept a second context of the same name today. SQLite reads the contexts of
the organization.
"""

import sqlalchemy as sa

from diwa_schema.migrations import steps

revision = "20260305000600"
down_revision = "20260305000500"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
transactional = False

NEW = (
    steps.NewIndex(
        "contexts_organization_id_lower_name_index",
        "contexts",
        ["organization_id", sa.text("lower(name)")],
        only="postgresql",
    ),
)
OLD = ()


def upgrade() -> None:
    steps.exchange_indexes(NEW, OLD)


def downgrade() -> None:
    steps.exchange_indexes(OLD, NEW)
