"""Record the side on which contexts and memories were created.

A database may be in use right after its takeover, so this revision builds its indexes concurrently.
"""

import sqlalchemy as sa

from diwa_schema.migrations import steps
from diwa_schema.models.types import ShortText, UniqueId

revision = "20260107203000"
down_revision = "20260107201000"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
transactional = False
drops = ("contexts.sync_origin", "contexts.remote_id", "memories.sync_origin", "memories.remote_id")


def upgrade() -> None:
    steps.add_indexed_columns(
        {
            table: [
                sa.Column("sync_origin", ShortText(), server_default="cloud"),
                sa.Column("remote_id", UniqueId()),
            ]
            for table in ("contexts", "memories")
        },
        [
            ("contexts_sync_origin_index", "contexts", ["sync_origin"]),
            ("memories_sync_origin_index", "memories", ["sync_origin"]),
        ],
    )


def downgrade() -> None:
    steps.drop_indexed_columns(
        {table: ["remote_id", "sync_origin"] for table in ("memories", "contexts")},
        [("memories_sync_origin_index", "memories"), ("contexts_sync_origin_index", "contexts")],
    )
