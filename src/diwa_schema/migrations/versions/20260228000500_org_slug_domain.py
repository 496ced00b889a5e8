"""Add a slug for URLs and a custom domain to organizations.

Both columns are new and empty, so building their unique indexes takes no time.
"""

import sqlalchemy as sa
from alembic import op

from diwa_schema.models.types import ShortText

revision = "20260228000500"
down_revision = "20260227100000"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
drops = ("organizations.slug", "organizations.custom_domain")


def upgrade() -> None:
    op.add_column("organizations", sa.Column("slug", ShortText()))
    op.add_column("organizations", sa.Column("custom_domain", ShortText()))
    op.create_index("organizations_custom_domain_index", "organizations", ["custom_domain"], unique=True)
    op.create_index("organizations_slug_index", "organizations", ["slug"], unique=True)


def downgrade() -> None:
    op.drop_index("organizations_slug_index", "organizations")
    op.drop_index("organizations_custom_domain_index", "organizations")
    op.drop_column("organizations", "custom_domain")
    op.drop_column("organizations", "slug")
