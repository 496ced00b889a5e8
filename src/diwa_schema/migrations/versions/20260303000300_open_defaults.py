"""Drop defaults that state unproven facts, so that NULL means unknown in new rows; SQLite keeps them.

No Ecto writer sets these columns. The default of `phi_flag` claimed that a call carries no health data. The
default of `sync_origin` claimed that a row came from the cloud, even for an agent's rows. From now on NULL means
that nobody knows. Existing rows stay unchanged: nobody can tell which of them are right. SQLite would have to copy
each table; there the models write NULL themselves.
"""

from diwa_schema.migrations import steps

revision = "20260303000300"
down_revision = "20260303000200"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
transactional = False

CLAIMS = {
    ("contexts", "sync_origin"): "'cloud'",
    ("memories", "sync_origin"): "'cloud'",
    ("tala_operations", "phi_flag"): "false",
}


def upgrade() -> None:
    steps.set_defaults_on_postgresql(dict.fromkeys(CLAIMS))


def downgrade() -> None:
    steps.set_defaults_on_postgresql(CLAIMS)
