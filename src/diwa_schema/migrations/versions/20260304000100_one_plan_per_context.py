"""Let PostgreSQL enforce one plan per context, unless a context already has two.

The agent fetches the plan before it writes one, and raises if it finds two. Only two simultaneous writers create a
second plan. If a second plan exists, the rule waits, and `diwa-schema validate` adds the index once that plan is gone.
The plain index on the same column stays, because the unique one may be missing. SQLite enforces no such rule.
"""

from diwa_schema.migrations import steps

revision = "20260304000100"
down_revision = "20260304000000"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
transactional = False


def upgrade() -> None:
    steps.keep_rules("plans_context_id_key")


def downgrade() -> None:
    steps.release_rules("plans_context_id_key")
