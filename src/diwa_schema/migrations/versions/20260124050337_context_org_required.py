"""Require an organization for every context; the first revision already does, so nothing changes.

Ecto's history contains this version. A database that recorded it can be taken over at this point.
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
