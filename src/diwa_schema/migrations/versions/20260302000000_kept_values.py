"""Create tables for values that today's columns cannot hold, so that all databases end in one shape.

The downgrade drops each table only if it is empty.
"""

from diwa_schema.migrations import steps

revision = "20260302000000"
down_revision = "20260301000000"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
leaves = ("diwa_schema_embedding_archive", "diwa_schema_kept_values")


def upgrade() -> None:
    steps.create_embedding_archive()
    steps.create_kept_values()


def downgrade() -> None:
    steps.drop_kept_values()
    steps.drop_table_unless_filled("diwa_schema_embedding_archive")
