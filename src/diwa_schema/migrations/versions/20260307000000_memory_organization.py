"""Let a memory say its organization, which is always that of its context, for every writer.

To find, export or delete the memories of one organization took a join over contexts, and nothing but that join kept
them apart. Ecto's writers leave the column out, and the database fills it; one that contradicts the context is refused,
and a context that moves to another organization takes its memories along. The key to contexts covers both columns from
now on and keeps its name, because Ecto's changesets know it.
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
