"""Index only the memories of a context that have an embedding.

The query compares their distances one by one, which is exact. With 1,000,000 memories, 20,000 of them with an
embedding, finding the ten nearest in a large context took 101 ms, because all its memories were read. It now takes 11
ms, with an index of 0.2 MB. SQLite has no distance function.
"""

from diwa_schema.migrations import steps

revision = "20260305001200"
down_revision = "20260305001100"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
transactional = False

NEW = (
    steps.NewIndex(
        "memories_embedded_index",
        "memories",
        ["context_id"],
        where="deleted_at IS NULL AND embedding IS NOT NULL",
        only="postgresql",
    ),
)


def upgrade() -> None:
    steps.exchange_indexes(NEW, ())


def downgrade() -> None:
    steps.exchange_indexes((), NEW)
