"""Allow the deletion of a context with paid calls; its usage records stay without a context.

Until now these records blocked the deletion of the context, and so of its organization. The downgrade moves records
without a context to `diwa_schema_kept_usage_records`, because the older table cannot hold them; the next upgrade
brings them back.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.schema import SchemaItem

from diwa_schema.migrations import steps
from diwa_schema.models.filled import USAGE_ORGANIZATION
from diwa_schema.models.types import Cost, Count, ShortText, Timestamp, UniqueId

revision = "20260306000300"
down_revision = "20260306000200"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
transactional = False


def items(outliving: bool) -> Sequence[SchemaItem]:
    """Return the columns and constraints of the table for SQLite."""
    return (
        sa.Column("id", UniqueId(), nullable=True),
        sa.Column("context_id", UniqueId(), nullable=outliving),
        sa.Column("provider", ShortText(), nullable=False),
        sa.Column("model", ShortText(), nullable=False),
        sa.Column("operation", ShortText(), nullable=False),
        sa.Column("tokens_input", Count(), server_default=sa.text("0")),
        sa.Column("tokens_output", Count(), server_default=sa.text("0")),
        sa.Column("total_tokens", Count(), server_default=sa.text("0")),
        sa.Column("cost_estimate", Cost()),
        sa.Column("duration_ms", Count()),
        sa.Column("inserted_at", Timestamp(0), nullable=False),
        sa.Column("updated_at", Timestamp(0), nullable=False),
        sa.Column("organization_id", UniqueId()),
        sa.PrimaryKeyConstraint("id", name="usage_records_pkey"),
        sa.ForeignKeyConstraint(
            ["context_id"],
            ["contexts.id"],
            name="usage_records_context_id_fkey",
            ondelete="SET NULL" if outliving else None,
        ),
    )


def beside() -> Sequence[str]:
    """Return the statements that create the indexes and triggers of the table."""
    indexes = {
        "usage_records_context_id_index": "context_id",
        "usage_records_inserted_at_index": "inserted_at",
        "usage_records_organization_id_inserted_at_index": "organization_id, inserted_at",
    }
    created = (f"CREATE INDEX {name} ON usage_records ({keys})" for name, keys in indexes.items())
    return (*created, *USAGE_ORGANIZATION.create_on_sqlite())


RECORDS = steps.Outliving("usage_records", "context_id", "contexts", items, beside)


def upgrade() -> None:
    steps.outlive(RECORDS)


def downgrade() -> None:
    steps.be_outlived(RECORDS)
