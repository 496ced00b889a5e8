"""Add the one missing foreign key index; deleting a context no longer reads the whole registry."""

from diwa_schema.migrations import steps

revision = "20260302000400"
down_revision = "20260302000300"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
transactional = False


def upgrade() -> None:
    steps.create_index_concurrently("context_registry_context_id_index", "context_registry", ["context_id"])


def downgrade() -> None:
    steps.drop_index_concurrently("context_registry_context_id_index", "context_registry")
