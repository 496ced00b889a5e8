"""Index the expiry of memories that have one, to find expired memories.

The old index held a NULL for every memory without an expiry: 7.5 MB with 1,000,000 memories, where 1.0 MB suffices.
The sweep asks for live memories only.
"""

from diwa_schema.migrations import steps

revision = "20260305000100"
down_revision = "20260305000000"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
transactional = False

NEW = (
    steps.NewIndex(
        "memories_expiring_index",
        "memories",
        ["expires_at"],
        where="deleted_at IS NULL AND expires_at IS NOT NULL",
    ),
)
OLD = (steps.NewIndex("memories_expires_at_index", "memories", ["expires_at"]),)


def upgrade() -> None:
    steps.exchange_indexes(NEW, OLD)


def downgrade() -> None:
    steps.exchange_indexes(OLD, NEW)
