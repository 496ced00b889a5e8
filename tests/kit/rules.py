"""Which rules the dirty rows of `tests.kit.rows` break, and rows that break each rule that PostgreSQL keeps."""

from __future__ import annotations

from tests.kit.rows import FULL, key, odd


def _at(table: str, number: int) -> str:
    """Return the key of a dirty row, counted from 0."""
    return key(table, FULL + len(odd(table, "postgresql")) + number)


# Rule and key of each dirty row, as `violations` is to list them.
BROKEN = frozenset(
    {
        ("organizations_slug_check", _at("organizations", 1)),
        ("organizations_name_unique", _at("organizations", 0)),
        ("contexts_health_score_range", _at("contexts", 0)),
        ("contexts_health_score_range", _at("contexts", 1)),
        ("contexts_name_unique", _at("contexts", 1)),
        ("plans_completion_pct_check", _at("plans", 0)),
        ("plans_context_id_key", _at("plans", 0)),
        ("tasks_priority_check", _at("tasks", 0)),
        ("tasks_status_check", _at("tasks", 0)),
        ("tasks_words_given", _at("tasks", 1)),
        ("memories_metadata_object", _at("memories", 0)),
        ("memories_embedding_not_zero", _at("memories", 0)),
        ("memories_metadata_object", key("loop", 0)),
        ("memories_parent_other", key("loop", 0)),
        ("memories_parent_same_context", _at("memories", 2)),
        ("memories_remote_id_unique", _at("memories", 4)),
        ("memory_versions_operation_word", _at("memory_versions", 0)),
        ("context_relationships_ends_check", _at("context_relationships", 0)),
        ("context_relationships_relationship_type_word", _at("context_relationships", 1)),
        ("context_bindings_value_unique", _at("context_bindings", 1)),
        ("context_commits_hash_unique", _at("context_commits", 1)),
        ("hitl_escalations_status_check", _at("hitl_escalations", 0)),
        ("agents_capabilities_list", _at("agents", 0)),
        ("delegations_artifacts_list", _at("delegations", 0)),
        ("delegations_constraints_object", _at("delegations", 0)),
        ("sessions_start_given", _at("sessions", 0)),
        ("sessions_start_given", _at("sessions", 1)),
        ("sessions_times_ordered", _at("sessions", 1)),
        ("sync_queue_type_word", _at("sync_queue", 0)),
        ("tala_operations_context_given", _at("tala_operations", 0)),
        ("orphan_review_logs_metadata_object", _at("orphan_review_logs", 0)),
        ("conflict_performance_resolutions_array", _at("conflict_performance", 0)),
        ("usage_records_total_tokens_check", _at("usage_records", 0)),
        ("api_keys_status_given", _at("api_keys", 0)),
    }
)

ORGANIZATION, CONTEXT, PLAN = key("organization", 0), key("context", 0), key("plan", 0)
TIMES = "now(), now()"
# What the rows below refer to; it breaks nothing.
GROUND = (
    f"INSERT INTO organizations (id, name, inserted_at, updated_at) VALUES ('{ORGANIZATION}', 'o', {TIMES})",
    f"INSERT INTO contexts (id, organization_id, name, inserted_at, updated_at) VALUES ('{CONTEXT}', '{ORGANIZATION}', 'c', {TIMES})",
    f"INSERT INTO plans (id, context_id, status, inserted_at, updated_at) VALUES ('{PLAN}', '{CONTEXT}', 'Planning', '2020-01-01', now())",
)


def _insert(table: str, **values: object) -> str:
    given = {"id": key("bad", len(table)), **values}
    written = ", ".join(str(one) if isinstance(one, int) else f"'{one}'" for one in given.values())
    return f"INSERT INTO {table} ({', '.join(given)}, inserted_at, updated_at) VALUES ({written}, {TIMES})"


# A statement that breaks each rule, on the ground above; and how a person fixes the row.
BREAKS = {
    "context_relationships_ends_check": _insert(
        "context_relationships",
        source_context_id=CONTEXT,
        target_context_id=CONTEXT,
        relationship_type="blocks",
    ),
    "hitl_escalations_status_check": _insert(
        "hitl_escalations", context_id=CONTEXT, conflict_id=CONTEXT, status="closed"
    ),
    "organizations_slug_check": _insert("organizations", name="p", slug="Not A Slug!"),
    "plans_completion_pct_check": f"UPDATE plans SET completion_pct = 101 WHERE id = '{PLAN}'",
    "tasks_priority_check": _insert("tasks", context_id=CONTEXT, title="t", priority="Urgent"),
    "tasks_status_check": (
        f"INSERT INTO tasks (id, context_id, title, status, inserted_at, updated_at)"
        f" VALUES ('{key('bad', 0)}', '{CONTEXT}', 't', 'Pending', {TIMES})"
    ),
    "usage_records_total_tokens_check": _insert(
        "usage_records",
        context_id=CONTEXT,
        provider="p",
        model="m",
        operation="embed",
        tokens_input=1,
        tokens_output=2,
        total_tokens=4,
    ),
    "plans_context_id_key": _insert("plans", context_id=CONTEXT, status="Testing"),
}
FIXES = (
    "DELETE FROM context_relationships WHERE source_context_id = target_context_id",
    "UPDATE hitl_escalations SET status = 'resolved' WHERE status = 'closed'",
    "UPDATE organizations SET slug = 'a-slug' WHERE slug = 'Not A Slug!'",
    "UPDATE plans SET completion_pct = 100 WHERE completion_pct > 100",
    "UPDATE tasks SET priority = 'High' WHERE priority = 'Urgent'",
    "UPDATE tasks SET status = 'pending' WHERE status = 'Pending'",
    "UPDATE usage_records SET total_tokens = tokens_input + tokens_output",
    "DELETE FROM plans WHERE status = 'Testing'",
)
