"""Require an organization of every context, as the first revision does already: nothing is left to change.

Ecto's history has this version, so that a database which recorded it can be taken over at it.
"""

revision = "20260124050337"
down_revision = "20260119152124"
branch_labels = None
depends_on = None

phase = "expand"
floor = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
