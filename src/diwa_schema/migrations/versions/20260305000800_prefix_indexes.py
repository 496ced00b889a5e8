"""Drop four indexes whose columns are the beginning of another index.

A unique index on (context_id, binding_type, value) also serves every query that an index on context_id serves,
including the foreign key's cascade. The second index only slows every insert. The same holds for checkpoints, links
and panels.
The plain index on plans.context_id stays, because the unique one may be missing.
"""

from diwa_schema.migrations import steps

revision = "20260305000800"
down_revision = "20260305000700"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
transactional = False

NEW = ()
OLD = (
    steps.NewIndex("context_bindings_context_id_index", "context_bindings", ["context_id"]),
    steps.NewIndex(
        "context_relationships_source_context_id_index", "context_relationships", ["source_context_id"]
    ),
    steps.NewIndex("checkpoints_session_id_index", "checkpoints", ["session_id"]),
    steps.NewIndex("panels_workspace_id_index", "panels", ["workspace_id"]),
)


def upgrade() -> None:
    steps.exchange_indexes(NEW, OLD)


def downgrade() -> None:
    steps.exchange_indexes(OLD, NEW)
