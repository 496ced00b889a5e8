"""Record each memory's arrival to the microsecond; `inserted_at` has whole seconds on PostgreSQL.

The database fills the column from its own clock for every writer, so code that does not know the column needs no
change. A time needs no right on a sequence, which a role that may only write the table would lack, and takes the same
eight bytes.
Existing memories get the time that they already have; the order within one of their seconds is no longer known.
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
