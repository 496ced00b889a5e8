"""The table of all rules about rows that the applications follow or should follow.

The database enforces the rules that no current code can break in normal operation, so that a constraint never fails
traffic. All other rules are only checked: code may break them, or nobody knows whether it does. `docs/decisions.md`
explains the choice for each kind of rule.
"""

from __future__ import annotations

from diwa_schema.models.rule import Rule, one_of
from diwa_schema.models.values import (
    EscalationStatus,
    MemoryClass,
    MemoryLifecycle,
    MemoryOperation,
    MemoryPriority,
    OrphanAction,
    SyncType,
    TaskPriority,
    TaskStatus,
)

KEPT = (
    Rule(
        "context_relationships_ends_check",
        "context_relationships",
        ("source_context_id", "target_context_id"),
        "A context is not linked to itself; the changeset refuses it.",
        "source_context_id <> target_context_id",
        kept=True,
    ),
    Rule(
        "hitl_escalations_status_check",
        "hitl_escalations",
        ("status",),
        "The status of an escalation is one of the changeset's words.",
        one_of("status", EscalationStatus),
        kept=True,
    ),
    Rule(
        "organizations_slug_check",
        "organizations",
        ("slug",),
        "A slug has small letters, digits and hyphens only; the changeset refuses others.",
        "slug ~ '^[a-z0-9-]+$'",
        on_sqlite="slug <> '' AND slug NOT GLOB '*[^a-z0-9-]*'",
        kept=True,
    ),
    Rule(
        "plans_completion_pct_check",
        "plans",
        ("completion_pct",),
        "A plan is 0 to 100 per cent complete; the changeset refuses other numbers.",
        "completion_pct >= 0 AND completion_pct <= 100",
        kept=True,
    ),
    Rule(
        "tasks_priority_check",
        "tasks",
        ("priority",),
        "The priority of a task is one of the changeset's words.",
        one_of("priority", TaskPriority),
        kept=True,
    ),
    Rule(
        "tasks_status_check",
        "tasks",
        ("status",),
        "The status of a task is one of the changeset's words.",
        one_of("status", TaskStatus),
        kept=True,
    ),
    Rule(
        "usage_records_total_tokens_check",
        "usage_records",
        ("tokens_input", "tokens_output", "total_tokens"),
        "The total of tokens is the sum of the two counts; the changeset computes it.",
        "total_tokens = CAST(tokens_input AS bigint) + tokens_output",
        kept=True,
    ),
    Rule(
        "plans_context_id_key",
        "plans",
        ("context_id",),
        "A context has one plan; the agent fetches exactly one, and raises where there are two.",
        unique=("context_id",),
        kept=True,
    ),
)

# Rules that a revision adds by their names and a later one takes away. Each stays as it was released, and its words are
# written out: those of a value set change.
RETIRED: tuple[Rule, ...] = ()

_LISTED = "The agent lists words for it and checks none."
_SEVERITIES = ("critical", "high", "moderate", "low", "info")
_RELATIONSHIPS = (
    "depends_on", "relates_to", "child_of", "blocks", "extends", "implements", "complements", "supersedes", "contains",
)  # fmt: skip


def _words(table: str, column: str, words: object, why: str) -> Rule:
    return Rule(f"{table}_{column}_word", table, (column,), why, one_of(column, words))


def _document(table: str, column: str, kind: str) -> Rule:
    return Rule(
        f"{table}_{column}_{kind}",
        table,
        (column,),
        f"The document is an {kind}: a model that reads another one raises.",
        f"jsonb_typeof({column}) = '{kind}'",
        on_sqlite=f"CASE WHEN json_valid({column}) THEN json_type({column}) = '{kind}' ELSE {column} IS NULL END",
        type="jsonb",
    )


WATCHED = (
    _document("memories", "metadata", "object"),
    _document("conflict_performance", "resolutions", "array"),
    _document("orphan_review_logs", "metadata", "object"),
    _words("memories", "memory_class", MemoryClass, _LISTED),
    _words("memories", "priority", MemoryPriority, _LISTED),
    _words("memories", "lifecycle", MemoryLifecycle, _LISTED),
    _words(
        "memories", "severity", _SEVERITIES, "The tools list words for it, and store what they are given."
    ),
    _words("memory_versions", "operation", MemoryOperation, "The agent writes these five words."),
    _words(
        "context_relationships", "relationship_type", _RELATIONSHIPS, "Three lists name these; none is kept."
    ),
    _words("sync_queue", "type", SyncType, "Another type makes the worker crash."),
    _words("orphan_review_logs", "action", OrphanAction, "A remark in the migration names these words."),
    Rule(
        "agents_capabilities_list",
        "agents",
        ("capabilities",),
        "The text is a JSON list; the models read it as one.",
        "trim(capabilities) LIKE '[%]'",
    ),
    Rule(
        "delegations_artifacts_list",
        "delegations",
        ("artifacts",),
        "The text is a JSON list; the models read it as one.",
        "trim(artifacts) LIKE '[%]'",
    ),
    Rule(
        "delegations_constraints_object",
        "delegations",
        ("constraints",),
        "The text is a JSON object; the models read it as one.",
        "trim(constraints) LIKE '{%}'",
    ),
    Rule(
        "contexts_health_score_range",
        "contexts",
        ("health_score",),
        "The score goes from 0 to 100; nothing checks it.",
        "health_score >= 0 AND health_score <= 100",
    ),
    Rule(
        "tasks_title_given",
        "tasks",
        ("title",),
        "A task has a title; the changeset requires one.",
        "trim(title) <> ''",
    ),
    Rule(
        "tasks_words_given",
        "tasks",
        ("priority", "status"),
        "A task has a priority and a status; both have a default, and NULL gets past it.",
        "priority IS NOT NULL AND status IS NOT NULL",
    ),
    Rule(
        "sessions_start_given",
        "sessions",
        ("actor", "started_at"),
        "A session says who began it and when; the changeset requires both.",
        "actor IS NOT NULL AND started_at IS NOT NULL",
    ),
    Rule(
        "sessions_times_ordered",
        "sessions",
        ("started_at", "ended_at"),
        "A session does not end before it starts.",
        "ended_at >= started_at",
    ),
    Rule(
        "tala_operations_context_given",
        "tala_operations",
        ("context_id", "tool_name"),
        "An operation names its tool and belongs to a context; where that was no uuid, it is with the kept values now.",
        "context_id IS NOT NULL AND tool_name IS NOT NULL",
    ),
    Rule(
        "api_keys_status_given",
        "api_keys",
        ("status", "expires_at"),
        "A key has a status; the column has a default, and NULL gets past it.",
        "status IS NOT NULL",
    ),
    Rule(
        "context_commits_platform_given",
        "context_commits",
        ("platform",),
        "A commit names its platform; the changeset requires it.",
        "trim(platform) <> ''",
    ),
    Rule(
        "memories_parent_other",
        "memories",
        ("parent_id",),
        "A memory does not continue itself.",
        "parent_id <> id",
    ),
    Rule(
        "memories_parent_same_context",
        "memories",
        ("parent_id", "context_id"),
        "A memory continues one of its own context.",
        "NOT EXISTS (SELECT 1 FROM {tables}.memories p WHERE p.id = t.parent_id AND p.context_id <> t.context_id)",
    ),
    Rule(
        "memories_embedding_not_zero",
        "memories",
        ("embedding",),
        "A vector of zeros is near to nothing: its distance to every other is no number.",
        "{vector}.vector_norm(embedding) > 0",
        type="vector",
        postgresql_only=True,
    ),
    Rule(
        "organizations_name_unique",
        "organizations",
        ("name",),
        "The agent looks an organization up by its name and expects one.",
        unique=("name",),
    ),
    Rule(
        "contexts_name_unique",
        "contexts",
        ("organization_id", "name"),
        "The agent looks a context up by organization and name and expects one.",
        unique=("organization_id", "lower(name)"),
    ),
    Rule(
        "contexts_remote_id_unique",
        "contexts",
        ("remote_id",),
        "A context stands for one context on the other side.",
        "remote_id IS NOT NULL",
        unique=("remote_id",),
    ),
    Rule(
        "memories_remote_id_unique",
        "memories",
        ("remote_id",),
        "A memory stands for one memory on the other side.",
        "remote_id IS NOT NULL",
        unique=("remote_id",),
    ),
    Rule(
        "context_bindings_value_unique",
        "context_bindings",
        ("binding_type", "value", "context_id"),
        "A path or repository leads to one context; of several the newest wins.",
        unique=("binding_type", "value"),
    ),
    Rule(
        "context_commits_hash_unique",
        "context_commits",
        ("context_id", "hash"),
        "A commit of a context is recorded once.",
        unique=("context_id", "hash"),
    ),
    Rule(
        "panels_position_unique",
        "panels",
        ("workspace_id", "position"),
        "Two panels of a workspace do not have one place.",
        "workspace_id IS NOT NULL",
        unique=("workspace_id", "position"),
    ),
)

RULES = (*KEPT, *WATCHED)
EVER_KEPT = (*KEPT, *RETIRED)
"""The rules that a database at some revision enforces; at head it is those that are `KEPT`."""


def ever_kept(name: str) -> Rule:
    """Return the rule with that name that revisions add.

    Raises:
        KeyError: There is none.
    """
    return {rule.name: rule for rule in EVER_KEPT}[name]
