"""Turn text ids in the buffer of tool operations into uuids, so that the buffer has one shape.

The agent's code binds session and context as uuids; no other code that uses the buffer is known.
A session or context that is not a uuid goes to the table of kept values. The downgrade turns the ids back into text
only if such values were kept: below this revision both types are valid.
"""

from alembic import op

from diwa_schema.migrations import steps

revision = "20260302000300"
down_revision = "20260302000200"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
rewrites = ("tala_operations",)
retypes = ("tala_operations.session_id", "tala_operations.context_id")
retypes_back = retypes


def upgrade() -> None:
    steps.make_ids_uuids()
    op.create_index("tala_operations_context_id_index", "tala_operations", ["context_id"], if_not_exists=True)


def downgrade() -> None:
    op.drop_index("tala_operations_context_id_index", "tala_operations")
    steps.make_ids_texts()
