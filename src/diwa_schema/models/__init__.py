"""What a row is: one class per table, in three tiers, the same on PostgreSQL and on SQLite."""

from diwa_schema.models import values
from diwa_schema.models.base import Base, enforce_foreign_keys
from diwa_schema.models.core import (
    Context,
    ContextBinding,
    ContextCommit,
    ContextRegistry,
    ContextRelationship,
    Memory,
    MemoryVersion,
)
from diwa_schema.models.embeddings import EmbeddingValue, RawEmbedding
from diwa_schema.models.enterprise import (
    ApiKey,
    ConflictPerformance,
    ConflictResolutionOutcome,
    EmbeddingCache,
    MemoryChecksum,
    Organization,
    OrphanReviewLog,
    Secret,
    UsageRecord,
)
from diwa_schema.models.queues import IdempotencyLog, SyncQueue, TalaOperation
from diwa_schema.models.team import (
    Agent,
    Checkpoint,
    Delegation,
    HitlEscalation,
    IngestJob,
    Message,
    Panel,
    Plan,
    Session,
    ShortcutAlias,
    Task,
    Workspace,
)

__all__ = [
    "Agent",
    "ApiKey",
    "Base",
    "Checkpoint",
    "ConflictPerformance",
    "ConflictResolutionOutcome",
    "Context",
    "ContextBinding",
    "ContextCommit",
    "ContextRegistry",
    "ContextRelationship",
    "Delegation",
    "EmbeddingCache",
    "EmbeddingValue",
    "HitlEscalation",
    "IdempotencyLog",
    "IngestJob",
    "Memory",
    "MemoryChecksum",
    "MemoryVersion",
    "Message",
    "Organization",
    "OrphanReviewLog",
    "Panel",
    "Plan",
    "RawEmbedding",
    "Secret",
    "Session",
    "ShortcutAlias",
    "SyncQueue",
    "TalaOperation",
    "Task",
    "UsageRecord",
    "Workspace",
    "enforce_foreign_keys",
    "values",
]
