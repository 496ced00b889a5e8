"""${message}.

Say what a row or a column means, not which statements follow.
"""

# Rules for a revision; take these comments out when they are kept.
#   - Its id is a 14-digit UTC timestamp after all others; its file is named <id>_<slug>.py.
#   - Once released, it is never changed: a mistake is mended by another revision.
#   - Types come from diwa_schema.models.types, so that PostgreSQL and SQLite get what models expect; any other
#     difference between the two has a name in diwa_schema.migrations.steps. Names are given to everything.
#   - A table that has rows is changed by the safe steps: an index concurrently, a constraint first for new rows,
#     a column filled in batches. Such a revision says `transactional = False` and has exactly one step, which can
#     be run again to finish what a killed run left.
#   - `phase` is "contract" where code that runs today would break, and then `floor` is the oldest head whose code
#     works with it. Where a strong lock is held for longer than traffic may wait, `stalls` says why.
#   - `drops` names the tables and "table.column"s that downgrade() takes away, so that the rows in them are counted
#     first; `leaves` the tables that it keeps while they have rows. What cannot be reversed says
#     `irreversible = "why"`.
import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
revision = ${repr(up_revision).replace("'", '"')}
down_revision = ${repr(down_revision).replace("'", '"')}
branch_labels = ${repr(branch_labels).replace("'", '"')}
depends_on = ${repr(depends_on).replace("'", '"')}

phase = "expand"
floor = None
drops = ()


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
