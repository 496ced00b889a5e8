"""Recompute a memory's search words only when its content is written; SQLite has no such words.

The trigger fired on every update, for example whenever a use of the memory was recorded. The words did not change, but
the server wrote them and their index entries again.
"""

from alembic import op

from diwa_schema.migrations import steps

revision = "20260303000000"
down_revision = "20260302000400"
branch_labels = None
depends_on = None

phase = "expand"
floor = None

REPLACE = (
    "CREATE OR REPLACE TRIGGER tsvectorupdate BEFORE INSERT OR UPDATE{} ON memories FOR EACH ROW"
    " EXECUTE FUNCTION tsvector_update_trigger(tsv_content, 'pg_catalog.english', content)"
)


@steps.only_on_postgresql
def upgrade() -> None:
    op.execute(REPLACE.format(" OF content"))


@steps.only_on_postgresql
def downgrade() -> None:
    op.execute(REPLACE.format(""))
