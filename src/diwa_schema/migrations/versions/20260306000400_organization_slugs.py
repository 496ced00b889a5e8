"""Give each organization without one a slug, made of its name, and let the database make it for those that come.

Newer code of Ecto's demands a slug, and writes none for the rows of older code. Letters and digits of ASCII stay, in
lower case; all between them becomes a hyphen. Where the slug is taken, a number is added, to the younger one. Slugs
that are there stay as they are, also odd ones. Reversed, those go that were made here, where nobody has changed them.
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
