"""Keep when a memory arrived, to the microsecond, for every writer: `inserted_at` has whole seconds on PostgreSQL.

The database fills it, from its own clock, so that code which does not know the column goes on as it is. A time needs
no right on a sequence, which a role that may only write the table would not have, and costs the same eight bytes.
Memories that are there get the time that they have; within one of its seconds nobody knows their order any more.
"""

import sqlalchemy as sa

from diwa_schema.migrations import steps
from diwa_schema.models.types import Timestamp

revision = "20260303000100"
down_revision = "20260303000000"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
transactional = False
drops = ("memories.arrived_at",)


def upgrade() -> None:
    steps.add_filled_column("memories", sa.Column("arrived_at", Timestamp(6)), first="inserted_at")


def downgrade() -> None:
    steps.drop_filled_column("memories", "arrived_at")
