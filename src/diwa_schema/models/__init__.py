"""The models: one class per table, in three tiers, the same on PostgreSQL and on SQLite.

The classes are loaded when the first of them is used: a revision needs only the types of columns. Their modules omit
`from __future__ import annotations`, because SQLAlchemy would have to evaluate each of 300 texts.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

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
    from diwa_schema.models.types.embeddings import EmbeddingValue, RawEmbedding

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
    "arenewed",
    "enforce_foreign_keys",
    "heal",
    "renewed",
    "values",
]

_HOMES = ("base", "engines", "types", "core", "enterprise", "queues", "team", "served")


def load() -> None:
    """Load all classes, because they refer to one another by name; loaded classes stay as they are."""
    for home in _HOMES:
        found = vars(import_module(f"{__name__}.{home}"))
        globals().update({name: value for name, value in found.items() if name in __all__})


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    load()
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
