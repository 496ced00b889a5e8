"""Let SQLite find the words of memories by an index, as PostgreSQL does: in FTS5, kept in step by triggers.

Until now each word was looked for in the text of every memory of a context. Nothing changes for code that writes
memories on connections of a SQLite that has FTS5 and trusts its schema, as it does by default; with it a memory takes
about half as much space again. PostgreSQL has the words in a column and stays as it is. Where the connection that
migrates is another one, all goes on as before. Reversed, all of it goes: the words are in the memories.
"""

from diwa_schema.migrations import steps

revision = "20260308000000"
down_revision = "20260307000000"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
transactional = False


def upgrade() -> None:
    steps.keep_words()


def downgrade() -> None:
    steps.forget_words()
