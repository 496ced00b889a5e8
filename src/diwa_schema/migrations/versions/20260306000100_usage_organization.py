"""Record the organization that a paid call was made for, beyond the deletion of its context.

The column has no foreign key: the organization may be deleted as well, and its usage is still billed. The database
fills the column from the context for existing rows and whenever a writer omits it. If a context later moves to another
organization, its earlier calls do not move with it.
"""

import sqlalchemy as sa

from diwa_schema.migrations import steps
from diwa_schema.models.types import UniqueId

revision = "20260306000100"
down_revision = "20260306000000"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
transactional = False
drops = ("usage_records.organization_id",)

ORGANIZATION = "(SELECT c.organization_id FROM contexts c WHERE c.id = usage_records.context_id)"


def upgrade() -> None:
    steps.add_derived_column("usage_records", sa.Column("organization_id", UniqueId()), ORGANIZATION)


def downgrade() -> None:
    steps.drop_derived_column("usage_records", "organization_id")
