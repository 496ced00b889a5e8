"""Let PostgreSQL keep one plan per context, where no context has two.

The agent fetches the plan before it writes one, and raises where it finds two: only two writers at the same moment make
a second one. Where there is one already the rule waits, and `diwa-schema validate` adds the index once it is gone.
The plain index on the same column stays, because the unique one may be missing. SQLite keeps no such rule.
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
