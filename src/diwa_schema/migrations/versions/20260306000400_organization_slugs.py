"""Fill missing organization slugs from the name, and let the database fill them for new rows.

Newer Ecto code requires a slug but does not write one for the rows of older code. A slug keeps ASCII letters and
digits, in lower case; everything between them becomes a hyphen. If the slug is taken, the younger organization gets a
number appended. Existing slugs stay as they are, even odd ones. The downgrade removes the slugs that this revision
created, unless somebody changed them.
"""

from diwa_schema.migrations import steps

revision = "20260306000400"
down_revision = "20260306000300"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
transactional = False


def upgrade() -> None:
    steps.fill_by_trigger(
        "organizations",
        "slug",
        order="inserted_at, id",
        reason="the organization had no slug; this one was made of its name",
    )


def downgrade() -> None:
    steps.empty_again("organizations", "slug")
