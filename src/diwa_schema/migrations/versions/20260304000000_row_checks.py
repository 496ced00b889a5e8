"""Let PostgreSQL enforce rules that so far only the changesets enforced, unless rows break them.

A rule that existing rows break waits: those rows stay unchanged and writable, and `diwa-schema validate` adds the
check once they are fixed. SQLite enforces none of these rules.
"""

from diwa_schema.migrations import steps

revision = "20260304000000"
down_revision = "20260303000300"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
transactional = False

RULES = (
    "context_relationships_ends_check",
    "hitl_escalations_status_check",
    "organizations_slug_check",
    "plans_completion_pct_check",
    "tasks_priority_check",
    "tasks_status_check",
    "usage_records_total_tokens_check",
)


def upgrade() -> None:
    steps.keep_rules(*RULES)


def downgrade() -> None:
    steps.release_rules(*RULES)
