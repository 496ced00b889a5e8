"""Number the versions of each memory in the order of their times, and let the database number those that come.

Ecto's column came with the number 1 for every version that was there, and the agent leaves it out. Whoever leaves it
out gets the next one, and so does who gives one that another version of the memory has: no writer fails that did not.
Two writers of one memory go one after the other, as they do already where they change the memory itself. Versions of
one second are in the order of their ids on PostgreSQL, where nobody knows another. The numbers that there were are
kept, and come back on the way down. SQLite has one writer at a time and needs no unique index.
"""

from diwa_schema.migrations import steps

revision = "20260306000000"
down_revision = "20260305001400"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
transactional = False


def upgrade() -> None:
    steps.number_versions()


def downgrade() -> None:
    steps.forget_numbers()
