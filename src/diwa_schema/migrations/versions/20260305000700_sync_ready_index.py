"""Index the waiting rows of the outgoing queue in the order of the queue.

With 300,000 rows, reading the next ten took 15 ms, and 33 with FOR UPDATE SKIP LOCKED: sent rows stay in the table,
and the old index has no order. The partial index has 0.4 MB instead of 11, and the two reads take 0.3 and 0.6 ms.
SQLite, where one process works on a short queue, keeps the old index.
"""

import sqlalchemy as sa

from diwa_schema.migrations import steps

revision = "20260305000700"
down_revision = "20260305000600"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
transactional = False

NEW = (
    steps.NewIndex(
        "sync_queue_ready_index",
        "sync_queue",
        [sa.text("priority DESC"), "inserted_at", "id"],
        where="status = 'pending' OR (status = 'failed' AND attempts < 10)",
        only="postgresql",
    ),
)
OLD = (
    steps.NewIndex(
        "sync_queue_status_priority_scheduled_at_index",
        "sync_queue",
        ["status", "priority", "scheduled_at"],
        only="postgresql",
    ),
)


def upgrade() -> None:
    steps.exchange_indexes(NEW, OLD)


def downgrade() -> None:
    steps.exchange_indexes(OLD, NEW)
