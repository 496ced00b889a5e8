"""Create organizations, their contexts and the memories of each context.

Primary keys are declared nullable, as in Ecto's schema: PostgreSQL refuses NULL anyway, SQLite accepts it.
The downgrade removes the whole schema, including tables that the agent created before this revision and tables of the
agent's first lineage that a takeover set aside.
"""

import sqlalchemy as sa
from alembic import op

from diwa_schema.migrations import steps
from diwa_schema.models.types import (
    Count,
    Document,
    LongText,
    ServerDefault,
    ShortText,
    TextArray,
    Timestamp,
    UniqueId,
)

revision = "20251224044223"
down_revision = None
branch_labels = None
depends_on = None

phase = "expand"
floor = None
drops = (
    "organizations",
    "contexts",
    "memories",
    "idempotency_log",
    "tala_operations",
    "diwa_schema_kept_organizations",
    "diwa_schema_kept_contexts",
    "diwa_schema_kept_memories",
    "diwa_schema_kept_memory_versions",
    "diwa_schema_kept_plans",
    "diwa_schema_kept_tasks",
    "diwa_schema_kept_sessions",
    "diwa_schema_kept_ingest_jobs",
    "diwa_schema_kept_agents",
    "diwa_schema_kept_delegations",
    "diwa_schema_kept_shortcut_aliases",
)


def upgrade() -> None:
    op.create_table(
        "organizations",
        sa.Column(
            "id",
            UniqueId(),
            server_default=ServerDefault(postgresql="gen_random_uuid()", sqlite="NULL"),
            nullable=True,
        ),
        sa.Column("name", ShortText(), nullable=False),
        sa.Column("tier", ShortText(), server_default="free"),
        sa.Column("inserted_at", Timestamp(0), nullable=False),
        sa.Column("updated_at", Timestamp(0), nullable=False),
        sa.PrimaryKeyConstraint("id", name="organizations_pkey"),
    )
    op.create_table(
        "contexts",
        sa.Column(
            "id",
            UniqueId(),
            server_default=ServerDefault(postgresql="gen_random_uuid()", sqlite="NULL"),
            nullable=True,
        ),
        sa.Column("organization_id", UniqueId(), nullable=False),
        sa.Column("name", ShortText(), nullable=False),
        sa.Column("description", LongText()),
        sa.Column("health_score", Count(), server_default=sa.text("100")),
        sa.Column("inserted_at", Timestamp(0), nullable=False),
        sa.Column("updated_at", Timestamp(0), nullable=False),
        sa.PrimaryKeyConstraint("id", name="contexts_pkey"),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name="contexts_organization_id_fkey",
            ondelete="CASCADE",
        ),
    )
    op.create_index("contexts_name_index", "contexts", ["name"])
    op.create_index("contexts_organization_id_index", "contexts", ["organization_id"])
    op.create_table(
        "memories",
        sa.Column(
            "id",
            UniqueId(),
            server_default=ServerDefault(postgresql="gen_random_uuid()", sqlite="NULL"),
            nullable=True,
        ),
        sa.Column("context_id", UniqueId(), nullable=False),
        sa.Column("content", LongText(), nullable=False),
        sa.Column("metadata", Document(), server_default="{}", nullable=False),
        sa.Column("actor", ShortText()),
        sa.Column("project", ShortText()),
        sa.Column("tags", TextArray()),
        sa.Column("parent_id", UniqueId()),
        sa.Column("external_ref", ShortText()),
        sa.Column("severity", ShortText()),
        sa.Column("inserted_at", Timestamp(0), nullable=False),
        sa.Column("updated_at", Timestamp(0), nullable=False),
        sa.PrimaryKeyConstraint("id", name="memories_pkey"),
        sa.ForeignKeyConstraint(
            ["context_id"], ["contexts.id"], name="memories_context_id_fkey", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["parent_id"], ["memories.id"], name="memories_parent_id_fkey", ondelete="SET NULL"
        ),
    )
    op.create_index("memories_context_id_index", "memories", ["context_id"])
    steps.create_index_on_postgresql("memories_metadata_index", "memories", ["metadata"], using="gin")
    op.create_index("memories_parent_id_index", "memories", ["parent_id"])
    op.create_index("memories_tags_index", "memories", ["tags"], postgresql_using="gin")


def downgrade() -> None:
    steps.release("memories", "contexts", "organizations")
    steps.drop_table_if_there(*reversed(drops))
    steps.drop_organization_function()
