"""Drop the index on the flag for health data of buffered operations.

A flag has two values, and nearly every row has the same one, so PostgreSQL reads the table instead. The agent asks for
operations by session and by context and uses the flag in no query; the buffer is emptied at the end of each session.
"""

from diwa_schema.migrations import steps

revision = "20260305001500"
down_revision = "20260305001400"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
transactional = False

NEW = ()
OLD = (steps.NewIndex("tala_operations_phi_flag_index", "tala_operations", ["phi_flag"]),)


def upgrade() -> None:
    steps.exchange_indexes(NEW, OLD)


def downgrade() -> None:
    steps.exchange_indexes(OLD, NEW)
