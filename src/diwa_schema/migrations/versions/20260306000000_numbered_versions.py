"""Number the versions of each memory by time, and let the database number new ones.

Ecto's migration gave every existing version the number 1, and the agent omits the number. If a writer omits the
number, or sends one that another version of the memory already has, the database assigns the next one: no write fails
that succeeded before. Two writers of one memory wait for each other, as they already do when they change the memory
itself. On PostgreSQL, versions of the same second follow the order of their ids, because no other order is known. The
old numbers are kept, and the downgrade restores them. SQLite has one writer at a time and needs no unique index.
"""

from diwa_schema.migrations import steps

revision = "20260306000000"
down_revision = "20260305001500"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
transactional = False


def upgrade() -> None:
    steps.number_versions()


def downgrade() -> None:
    steps.forget_numbers()
