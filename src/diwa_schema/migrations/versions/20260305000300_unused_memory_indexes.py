"""Drop the memory indexes that no query uses.

In 200 runs of each query that the applications send, none of these indexes was used: the inverted index on the whole
metadata (75 MB with 1,000,000 memories, written at every change of the metadata; the applications ask for single keys
with ->>, which it cannot serve), and those on priority and on the side of origin (7 MB each; a few words, each in a
large share of all rows).
"""

from diwa_schema.migrations import steps

revision = "20260305000300"
down_revision = "20260305000200"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
transactional = False

NEW = ()
OLD = (
    steps.NewIndex("memories_metadata_index", "memories", ["metadata"], using="gin", only="postgresql"),
    steps.NewIndex("memories_priority_index", "memories", ["priority"]),
    steps.NewIndex("memories_sync_origin_index", "memories", ["sync_origin"]),
)


def upgrade() -> None:
    steps.exchange_indexes(NEW, OLD)


def downgrade() -> None:
    steps.exchange_indexes(OLD, NEW)
