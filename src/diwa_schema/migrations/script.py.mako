<%!
    # In a module block, because Alembic replaces what is raised while it renders by a sentence of its own.
    from diwa_schema.authoring.draft import admit
    admit()
%>\
<% piece = context.get("piece") %>\
"""${message}.
% if not piece:

Say what a row or a column means, not which statements follow.
% endif
"""

% if not piece:
# Remove these lines when the revision follows them.
#   - Types come from diwa_schema.models.types, so that PostgreSQL and SQLite get what models expect; any other
#     difference between the two has a name in diwa_schema.migrations.steps. Every constraint and index has a name.
#   - A safe step of that module changes a table with rows, in a revision of its own with `transactional = False`.
#     `diwa-schema lint` says when one is needed, and shows its code (docs/lint.md).
#   - `phase` is "contract" where code that runs today would break, and then `floor` is the oldest head whose code
#     works with it. `rewrites` names the tables whose rows are written while a strong lock is held.
#   - `drops` names the tables and "table.column"s that downgrade() takes away, so that the rows in them are counted
#     first; `leaves` the tables that it keeps while they have rows. A revision without a way back has
#     `irreversible = "why"`; `forgets` names the columns whose earlier values do not come back.
% endif
${imports if piece else "import sqlalchemy as sa\nfrom alembic import op"}

revision = ${repr(up_revision).replace("'", '"')}
down_revision = ${repr(down_revision).replace("'", '"')}
branch_labels = ${repr(branch_labels).replace("'", '"')}
depends_on = ${repr(depends_on).replace("'", '"')}

phase = "${context.get("phase", "expand")}"
floor = ${repr(context.get("floor", None)).replace("'", '"')}
% if piece and piece.step:
transactional = False
% endif
% if piece and piece.forgets:
forgets = ${repr(piece.forgets).replace("'", '"')}
% endif
% if not piece or piece.drops:
drops = ${repr(piece.drops if piece else ()).replace("'", '"')}
% endif


def upgrade() -> None:
% for line in piece.upgrade if piece else ("pass",):
    ${line}
% endfor


def downgrade() -> None:
% for line in piece.downgrade if piece else ("pass",):
    ${line}
% endfor
