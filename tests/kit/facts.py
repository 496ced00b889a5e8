"""What Ecto's migrations made, version by version, and the tables that the agent made beside them.

A line is a table, the columns that a version adds to it, and after a bar the indexes. A column is a name, a type
(with `!` where NULL is refused) and `= default`; `> table` makes it a foreign key, `cascade` or `nilify` says what
happens when the row there goes; `made` is an id that the server makes; `times T` stands for `inserted_at T` and
`updated_at T`. Where a kind has another form on the other database, `tests.kit.writer` knows it.
"""

from __future__ import annotations

HISTORY: dict[int, str] = {
    20251224044223: """
        organizations: id made, name string!, tier string = free, times seconds!
        contexts: id made, organization_id > organizations! cascade, name string!, description text,
            health_score integer = 100, times seconds! | index name, index organization_id
        memories: id made, context_id > contexts! cascade, content text!, metadata map! = {},
            actor string, project string, tags strings, parent_id > memories nilify, external_ref string,
            severity string, times seconds! | index context_id, gin metadata, index parent_id, gin tags
    """,
    20251224053423: """
        memories: tsv_content tsvector | gin tsv_content as memories_fts_idx
    """,
    20251226000000: """
        plans: id uuid!, context_id > contexts! cascade, status string!, completion_pct integer = 0,
            notes text, times seconds! | index context_id
        tasks: id uuid!, context_id > contexts! cascade, title string!, description text,
            priority string = Medium, status string = pending, times seconds! | index context_id,
            index status
    """,
    20251226010000: "",
    20251227042000: """
        memory_versions: id made, memory_id > memories! cascade, content text!, tags strings = [],
            metadata map = {}, operation string!, actor string, reason text, parent_version_id uuid,
            times seconds! | index inserted_at, index memory_id
    """,
    20251227043000: """
        memories: deleted_at micros
    """,
    20251229030717: """
        memories: embedding embedding
    """,
    20251229030729: """
        conflict_performance: id uuid!, context_id > contexts! cascade, resolutions map = [],
            false_positive_count integer = 0, false_negative_count integer = 0, total_count integer = 0,
            window_size integer = 100, times seconds! | unique context_id, index updated_at
    """,
    20251229230000: """
        contexts: conflict_domain string = general, conflict_safety_level string = standard,
            conflict_base_threshold float = 0.85, conflict_auto_calibrate boolean = true
        conflict_resolution_outcomes: id uuid!, context_id > contexts! cascade, conflict_id uuid!,
            resolution_id uuid, threshold_used float, outcome string, feedback_score float,
            times seconds! | index conflict_id, index context_id
        hitl_escalations: id uuid!, context_id > contexts! cascade, conflict_id uuid!,
            status string = pending, assigned_to string, resolution_notes text, times seconds!
            | index context_id status
        memory_checksums: memory_id > memories! cascade, structure_hash string, semantic_hash string,
            times seconds!
        embedding_cache: id uuid!, hash string!, model string!, expires_at seconds, embedding embedding,
            times seconds! | unique hash model
    """,
    20251230035147: """
        hitl_escalations: memory_a_id > memories nilify, memory_b_id > memories nilify, score float
            | index memory_a_id, index memory_b_id
    """,
    20251230063548: """
        usage_records: id uuid!, context_id > contexts!, provider string!, model string!,
            operation string!, tokens_input integer = 0, tokens_output integer = 0,
            total_tokens integer = 0, cost_estimate decimal(10,6), duration_ms integer, times seconds!
            | index context_id, index inserted_at
    """,
    20251230065643: """
        secrets: id uuid!, key string!, value_encrypted binary!, times seconds! | unique key
    """,
    20251230091354: """
        context_registry: id uuid!, name string!, context_id > contexts cascade, platform_ref map = {},
            times seconds! | unique name
        context_commits: id uuid!, context_id > contexts cascade, hash string!, parent_hash string,
            platform string!, message text, times seconds! | index context_id, index hash
    """,
    20251230100826: """
        context_commits: signature text, signer_pubkey string
    """,
    20251230112549: """
        shortcut_aliases: id uuid!, alias_name string!, target_tool string!, args_schema strings = [],
            times seconds! | unique alias_name
    """,
    20251231080526: """
        memories: memory_class string, priority string, lifecycle string, confidence float,
            source string, occurrence_count integer = 1, last_accessed_at micros, expires_at micros
            | index expires_at, index memory_class, index priority
        sessions: id uuid!, context_id > contexts! cascade, actor string, started_at micros,
            ended_at micros, summary text, metadata map = {}, times micros! | index actor,
            index context_id
        ingest_jobs: id uuid!, context_id > contexts! cascade, status string, source_type string,
            source_path string, stats map = {}, metadata map = {}, times micros! | index context_id,
            index status
    """,
    20260105185807: """
        context_bindings: id uuid!, context_id > contexts! cascade, binding_type string!, value string!,
            metadata map = {}, times micros! | unique context_id binding_type value, index context_id
        context_relationships: id uuid!, source_context_id > contexts! cascade,
            target_context_id > contexts! cascade, relationship_type string!, metadata map = {},
            times micros! | index source_context_id,
            unique source_context_id target_context_id relationship_type, index target_context_id
    """,
    20260107000000: """
        agents: id uuid!, name string!, role string!, capabilities text, status string = active,
            context_id > contexts cascade, times micros! | index context_id, index role, index status
        delegations: id uuid!, task_definition text!, status string = pending, result_summary text,
            artifacts text, constraints text, from_agent_id > agents! cascade,
            to_agent_id > agents cascade, context_id > contexts! cascade, times micros!
            | index context_id, index from_agent_id, index status, index to_agent_id
    """,
    20260107200000: """
        api_keys: id uuid!, name string!, key_hash string!, key_prefix string!,
            organization_id > organizations! cascade, status string = active, last_used_at micros,
            expires_at micros, times micros! | unique key_hash, index key_prefix, index organization_id
    """,
    20260107201000: """
        sync_queue: id uuid!, type string!, payload map!, status string = pending, priority integer = 0,
            attempts integer = 0, last_error text, scheduled_at micros, times micros!
            | index status priority scheduled_at
    """,
    20260107203000: """
        contexts: sync_origin string = cloud, remote_id uuid | index sync_origin
        memories: sync_origin string = cloud, remote_id uuid | index sync_origin
    """,
    20260117075000: """
        tala_operations: id uuid!, session_id string, context_id string, tool_name string, params map,
            actor string, status string = pending, inserted_at seconds! | index session_id, index status
    """,
    20260118021500: """
        workspaces: id uuid!, name string!, layout_type string = single,
            ide_panel_order strings = ["explorer","chat","code"], times seconds! | index name
    """,
    20260118022000: """
        panels: id string!, provider string!, model string, preset_role string, position integer,
            workspace_id > workspaces cascade, times seconds! | index workspace_id,
            index workspace_id position
    """,
    20260118022500: """
        messages: id string!, role string, content text, panel_id > panels cascade, times seconds!
            | index inserted_at, index panel_id
    """,
    20260119010043: """
        checkpoints: id uuid!, session_id > sessions! cascade, sequence_number integer!,
            buffer_snapshot jsonb!, operation_count integer!, byte_size integer!, checksum string(64)!,
            created_at seconds! | index created_at, index session_id, unique session_id sequence_number
    """,
    20260119030000: """
        orphan_review_logs: id uuid!, session_id uuid!, context_id uuid!, action string!, actor string!,
            reviewer_actor string!, operation_count integer = 0, metadata jsonb = {}, times seconds!
            | index action, index context_id, index session_id
    """,
    20260119152124: """
        tala_operations: capability_token text, phi_flag boolean = false, merkle_root string,
            audit_hash string, degradation_tier string = online | index audit_hash, index phi_flag
    """,
    20260124050337: "",
    20260227100000: """
        memory_versions: version_number integer
    """,
    20260228000500: """
        organizations: slug string, custom_domain string | unique custom_domain, unique slug
    """,
    20260228010000: "",
}

# What the agent's own migration of that number makes, under a name that the shared history uses as well.
AGENT = 20260109204856
AGENT_TABLES = """
        idempotency_log: id made, context_id > contexts! cascade, client_id string!, tool_name string!,
            result_id uuid, status string!, error_reason text, processed_at seconds! = now
            | unique context_id client_id, index processed_at
        tala_operations: id made, context_id > contexts! cascade, session_id uuid!, tool_name string!,
            params map! = {}, actor string, status string = pending, inserted_at seconds! = now
            | index context_id, index session_id, index status
"""

# What the first public agent made, beside the agents, delegations, sessions and ingest jobs of the shared history.
FIRST_LINEAGE = (*range(20250101000001, 20250101000008), 20251231080526)
FIRST_LINEAGE_TABLES = """
        organizations: id uuid!, name string!, tier string = free, times micros! | index name
        contexts: id uuid!, name string!, description text, organization_id > organizations cascade,
            health_score integer = 100, times micros! | index name, index organization_id
        memories: id uuid!, content text!, tags string, actor string, severity string, external_ref string,
            project string, metadata text, context_id > contexts! cascade, parent_id > memories nilify,
            deleted_at micros, embedding embedding, times micros! | index actor, index context_id,
            index parent_id, index severity, index tags
        memory_versions: id uuid!, content text!, tags string, metadata text, operation string, actor string,
            reason string, parent_version_id uuid, memory_id > memories! cascade, times micros!
            | index memory_id
        shortcut_aliases: id uuid!, alias_name string!, target_tool string!, args_schema text, times micros!
            | unique alias_name
        plans: id uuid!, status string!, completion_pct integer = 0, notes text,
            context_id > contexts! cascade, times micros! | index context_id
        tasks: id uuid!, title string!, description text, priority string = Medium,
            status string = pending, context_id > contexts! cascade, times micros! | index context_id,
            index status
"""

# The newest library reads this column, and none of its migrations makes it; databases that it works on have it.
ORGANIZATION_OF_MEMORIES = "memories: organization_id > organizations cascade | index organization_id"
