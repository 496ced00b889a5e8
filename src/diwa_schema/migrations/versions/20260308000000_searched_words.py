"""Index the words of memories in SQLite with FTS5, as PostgreSQL already does; triggers keep it current.

Until now, SQLite searched for each word in the text of every memory of a context. Code that writes memories needs no
change if its SQLite connections have FTS5 and trust the schema, which is the default. The index adds about half of a
memory's size. PostgreSQL has the words in a column and does not change. If the connection that runs the migration
lacks FTS5 or that trust, searches read the memories as before. The downgrade removes the whole index: the memories
still contain the words.
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
