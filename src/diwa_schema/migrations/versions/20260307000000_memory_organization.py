"""Add the organization to each memory; it always equals the organization of the memory's context.

Without the column, a query that finds, exports or deletes the memories of one organization needed a join over
contexts, and only that join separated organizations. Ecto's writers omit the column and the database fills it. It
refuses a value that contradicts the context, and a context that moves to another organization takes its memories
along. The foreign key to contexts now covers both columns and keeps its name, because Ecto's changesets refer to it.
"""

from diwa_schema.migrations import steps

revision = "20260307000000"
down_revision = "20260306000400"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
transactional = False


def upgrade() -> None:
    steps.add_organization("memories")


def downgrade() -> None:
    steps.drop_organization("memories")
