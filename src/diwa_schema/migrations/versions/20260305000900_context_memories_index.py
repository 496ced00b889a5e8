"""Index a context's live memories, newest first, to read them page by page and count them.

With 1,000,000 memories, reading the newest 100 of a large context took 95 ms, because all of its memories were sorted,
and counting them took 67 ms. Now they take 1.6 and 5 ms, and the count reads only the index. The index has 55 MB. It
replaces no other index: the cascade from contexts needs one that also holds deleted memories.
"""

from diwa_schema.migrations import steps

revision = "20260305000900"
down_revision = "20260305000800"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
transactional = False

NEW = (
    steps.NewIndex(
        "memories_context_live_index",
        "memories",
        ["context_id", "arrived_at", "id"],
        where="deleted_at IS NULL",
    ),
)
OLD = ()


def upgrade() -> None:
    steps.exchange_indexes(NEW, OLD)


def downgrade() -> None:
    steps.exchange_indexes(OLD, NEW)
