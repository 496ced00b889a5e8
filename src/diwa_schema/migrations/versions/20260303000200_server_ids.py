"""Let PostgreSQL generate every id that a client omits, without the extension uuid-ossp.

The extension itself stays installed. Five tables already generated their ids; in older databases they used a function
of that extension.
"""

from diwa_schema.migrations import steps

revision = "20260303000200"
down_revision = "20260303000100"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
transactional = False

HAD_ONE = ("organizations", "contexts", "memories", "memory_versions", "idempotency_log")
NEW = (
    "agents",
    "api_keys",
    "checkpoints",
    "conflict_performance",
    "conflict_resolution_outcomes",
    "context_bindings",
    "context_commits",
    "context_registry",
    "context_relationships",
    "delegations",
    "embedding_cache",
    "hitl_escalations",
    "ingest_jobs",
    "orphan_review_logs",
    "plans",
    "secrets",
    "sessions",
    "shortcut_aliases",
    "sync_queue",
    "tala_operations",
    "tasks",
    "usage_records",
    "workspaces",
)


def upgrade() -> None:
    steps.set_id_defaults(*HAD_ONE, *NEW)


def downgrade() -> None:
    steps.drop_id_defaults(*NEW)
