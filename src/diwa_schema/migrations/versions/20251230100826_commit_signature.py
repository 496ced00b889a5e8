"""Add signatures to commits."""

import sqlalchemy as sa
from alembic import op

from diwa_schema.models.types import LongText, ShortText

revision = "20251230100826"
down_revision = "20251230091354"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
drops = ("context_commits.signature", "context_commits.signer_pubkey")


def upgrade() -> None:
    op.add_column("context_commits", sa.Column("signature", LongText()))
    op.add_column("context_commits", sa.Column("signer_pubkey", ShortText()))


def downgrade() -> None:
    op.drop_column("context_commits", "signer_pubkey")
    op.drop_column("context_commits", "signature")
