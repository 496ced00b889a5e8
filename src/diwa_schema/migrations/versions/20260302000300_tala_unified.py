"""Give the buffer of tool operations one shape, and take over what the agent's own tables hold.

The agent's code binds session and context as uuids; no other code that uses the buffer is known.
A session or context that is no uuid is kept as a value.
"""

from alembic import op

from diwa_schema.migrations import steps

revision = "20260302000300"
down_revision = "20260302000200"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
rewrites = ("tala_operations", "diwa_schema_kept_tala_operations", "diwa_schema_kept_idempotency_log")
retypes = ("tala_operations.session_id", "tala_operations.context_id")
retypes_back = retypes


def upgrade() -> None:
    steps.make_ids_uuids()
    op.create_index("tala_operations_context_id_index", "tala_operations", ["context_id"])
    steps.copy_kept_rows("tala_operations")
    steps.copy_kept_rows("idempotency_log")


def downgrade() -> None:
    op.drop_index("tala_operations_context_id_index", "tala_operations")
    steps.make_ids_texts()
