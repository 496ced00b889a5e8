"""Make the search words of a memory anew only when its content is written; SQLite has none.

The trigger fired on every update, such as each note of a use. The words were the same, and the server wrote them, and
their entries in the index, once more.
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
