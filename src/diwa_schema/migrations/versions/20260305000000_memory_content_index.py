"""Index memory content by its hash, for the duplicate check of each write.

With 1,000,000 memories the check in a large context took 185 ms, because it read all contents of the context.
A hash index serves `context_id = … AND content = …`, the condition that the applications send, in 0.2 ms and 34 MB;
md5 of the content with the context took 73 MB. SQLite has no hash indexes and reads the context.
"""

from diwa_schema.migrations import steps

revision = "20260305000000"
down_revision = "20260304000100"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
transactional = False
lint_ignore = {
    "hash-index": "It serves equality alone, of contents that may be longer than an entry of the default kind can be."
}

NEW = (steps.NewIndex("memories_content_index", "memories", ["content"], using="hash", only="postgresql"),)
OLD = ()


def upgrade() -> None:
    steps.exchange_indexes(NEW, OLD)


def downgrade() -> None:
    steps.exchange_indexes(OLD, NEW)
