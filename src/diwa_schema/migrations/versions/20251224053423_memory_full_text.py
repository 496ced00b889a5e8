"""Store the words of a memory's content for full-text search; SQLite has no such column.

The words are derived from the content, so dropping them loses nothing.
"""

from alembic import op

from diwa_schema.migrations import steps

revision = "20251224053423"
down_revision = "20251224044223"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
rewrites = ("memories",)


@steps.only_on_postgresql
def upgrade() -> None:
    op.execute("ALTER TABLE memories ADD COLUMN tsv_content tsvector")
    # The update precedes the trigger, which would compute the words of each row a second time.
    op.execute("UPDATE memories SET tsv_content = to_tsvector('pg_catalog.english', content)")
    op.create_index("memories_fts_idx", "memories", ["tsv_content"], postgresql_using="gin")
    op.execute(
        "CREATE TRIGGER tsvectorupdate BEFORE INSERT OR UPDATE ON memories FOR EACH ROW"
        " EXECUTE FUNCTION tsvector_update_trigger(tsv_content, 'pg_catalog.english', content)"
    )


@steps.only_on_postgresql
def downgrade() -> None:
    op.execute("DROP TRIGGER tsvectorupdate ON memories")
    op.drop_index("memories_fts_idx", "memories")
    op.drop_column("memories", "tsv_content")
