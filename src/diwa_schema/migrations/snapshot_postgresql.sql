CREATE FUNCTION diwa_schema_memory_versions_version_number() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
  own text;
  taken boolean;
BEGIN
  SELECT quote_ident(n.nspname) INTO own FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
    JOIN pg_namespace n ON n.oid = p.pronamespace WHERE t.tgrelid = TG_RELID AND t.tgname = TG_NAME;
  EXECUTE 'SELECT FROM ' || own || '.memories WHERE id = $1 FOR NO KEY UPDATE' USING NEW.memory_id;
  IF NEW.version_number IS NOT NULL THEN
    EXECUTE 'SELECT EXISTS (SELECT FROM ' || own || '.memory_versions WHERE memory_id = $1 AND version_number = $2)'
      INTO taken USING NEW.memory_id, NEW.version_number;
  END IF;
  IF taken IS DISTINCT FROM false THEN
    EXECUTE 'SELECT coalesce(max(version_number), 0) + 1 FROM ' || own || '.memory_versions WHERE memory_id = $1'
      INTO NEW.version_number USING NEW.memory_id;
  END IF;
  RETURN NEW;
END
$_$;

DO $do$
BEGIN
  EXECUTE 'CREATE OR REPLACE FUNCTION ' || '"' || replace(current_schema(), '"', '""') || '"' || '.diwa_schema_organization() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS '
    || quote_literal(replace(replace('
BEGIN
  IF TG_TABLE_SCHEMA OPERATOR(pg_catalog.=) {name} THEN
    SELECT organization_id INTO NEW.organization_id FROM {schema}.contexts
      WHERE id OPERATOR(pg_catalog.=) NEW.context_id FOR KEY SHARE;
  ELSE
    EXECUTE pg_catalog.concat(''SELECT organization_id FROM '', pg_catalog.quote_ident(TG_TABLE_SCHEMA),
      ''.contexts WHERE id OPERATOR(pg_catalog.=) '', pg_catalog.quote_nullable(NEW.context_id), '' FOR KEY SHARE'')
      INTO NEW.organization_id;
  END IF;
  RETURN NEW;
END
', '{schema}', '"' || replace(current_schema(), '"', '""') || '"'), '{name}', quote_literal(current_schema())));
  EXECUTE 'REVOKE ALL ON FUNCTION ' || '"' || replace(current_schema(), '"', '""') || '"' || '.diwa_schema_organization() FROM PUBLIC';
END
$do$;

CREATE FUNCTION diwa_schema_organizations_slug() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
  own text;
  taken boolean;
BEGIN
  SELECT quote_ident(n.nspname) INTO own FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
    JOIN pg_namespace n ON n.oid = p.pronamespace WHERE t.tgrelid = TG_RELID AND t.tgname = TG_NAME;
  DECLARE
    base text := coalesce(NEW.slug, rtrim(left(ltrim(
      regexp_replace(lower(NEW.name COLLATE "C"), '[^a-z0-9]+', '-', 'g'), '-'), 200), '-'));
  BEGIN
    IF base = '' THEN base := 'organization'; END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended(
      own || '.organizations.slug ' || (hashtextextended(regexp_replace(base, '(-[0-9]+)+$', ''), 0) & 255), 0));
    IF NEW.slug IS NULL THEN
      FOR n IN 1..101 LOOP
        NEW.slug := base || CASE n WHEN 1 THEN '' WHEN 101 THEN '-' || NEW.id ELSE '-' || n END;
        EXECUTE 'SELECT EXISTS (SELECT FROM ' || own || '.organizations WHERE slug = $1 AND id <> $2)'
          INTO taken USING NEW.slug, NEW.id;
        EXIT WHEN NOT taken;
      END LOOP;
    END IF;
  END;
  RETURN NEW;
END
$_$;

CREATE FUNCTION diwa_schema_usage_records_organization_id() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
  own text;
BEGIN
  SELECT quote_ident(n.nspname) INTO own FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
    JOIN pg_namespace n ON n.oid = p.pronamespace WHERE t.tgrelid = TG_RELID AND t.tgname = TG_NAME;
  EXECUTE 'SELECT organization_id FROM ' || own || '.contexts WHERE id = $1'
    INTO NEW.organization_id USING NEW.context_id;
  RETURN NEW;
END
$_$;

CREATE TABLE agents (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    name character varying(255) NOT NULL,
    role character varying(255) NOT NULL,
    capabilities text,
    status character varying(255) DEFAULT 'active'::character varying,
    context_id uuid,
    inserted_at timestamp without time zone NOT NULL,
    updated_at timestamp without time zone NOT NULL
);

CREATE TABLE api_keys (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    name character varying(255) NOT NULL,
    key_hash character varying(255) NOT NULL,
    key_prefix character varying(255) NOT NULL,
    organization_id uuid NOT NULL,
    status character varying(255) DEFAULT 'active'::character varying,
    last_used_at timestamp without time zone,
    expires_at timestamp without time zone,
    inserted_at timestamp without time zone NOT NULL,
    updated_at timestamp without time zone NOT NULL
);

CREATE TABLE checkpoints (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    session_id uuid NOT NULL,
    sequence_number integer NOT NULL,
    buffer_snapshot jsonb NOT NULL,
    operation_count integer NOT NULL,
    byte_size integer NOT NULL,
    checksum character varying(64) NOT NULL,
    created_at timestamp(0) without time zone NOT NULL
);

CREATE TABLE conflict_performance (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    context_id uuid NOT NULL,
    resolutions jsonb DEFAULT '[]'::jsonb,
    false_positive_count integer DEFAULT 0,
    false_negative_count integer DEFAULT 0,
    total_count integer DEFAULT 0,
    window_size integer DEFAULT 100,
    inserted_at timestamp(0) without time zone NOT NULL,
    updated_at timestamp(0) without time zone NOT NULL
);

CREATE TABLE conflict_resolution_outcomes (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    context_id uuid NOT NULL,
    conflict_id uuid NOT NULL,
    resolution_id uuid,
    threshold_used double precision,
    outcome character varying(255),
    feedback_score double precision,
    inserted_at timestamp(0) without time zone NOT NULL,
    updated_at timestamp(0) without time zone NOT NULL
);

CREATE TABLE context_bindings (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    context_id uuid NOT NULL,
    binding_type character varying(255) NOT NULL,
    value character varying(255) NOT NULL,
    metadata jsonb DEFAULT '{}'::jsonb,
    inserted_at timestamp without time zone NOT NULL,
    updated_at timestamp without time zone NOT NULL
);

CREATE TABLE context_commits (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    context_id uuid,
    hash character varying(255) NOT NULL,
    parent_hash character varying(255),
    platform character varying(255) NOT NULL,
    message text,
    inserted_at timestamp(0) without time zone NOT NULL,
    updated_at timestamp(0) without time zone NOT NULL,
    signature text,
    signer_pubkey character varying(255)
);

CREATE TABLE context_registry (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    name character varying(255) NOT NULL,
    context_id uuid,
    platform_ref jsonb DEFAULT '{}'::jsonb,
    inserted_at timestamp(0) without time zone NOT NULL,
    updated_at timestamp(0) without time zone NOT NULL
);

CREATE TABLE context_relationships (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    source_context_id uuid NOT NULL,
    target_context_id uuid NOT NULL,
    relationship_type character varying(255) NOT NULL,
    metadata jsonb DEFAULT '{}'::jsonb,
    inserted_at timestamp without time zone NOT NULL,
    updated_at timestamp without time zone NOT NULL,
    CONSTRAINT context_relationships_ends_check CHECK ((source_context_id <> target_context_id))
);

CREATE TABLE contexts (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    organization_id uuid NOT NULL,
    name character varying(255) NOT NULL,
    description text,
    health_score integer DEFAULT 100,
    inserted_at timestamp(0) without time zone NOT NULL,
    updated_at timestamp(0) without time zone NOT NULL,
    conflict_domain character varying(255) DEFAULT 'general'::character varying,
    conflict_safety_level character varying(255) DEFAULT 'standard'::character varying,
    conflict_base_threshold double precision DEFAULT 0.85,
    conflict_auto_calibrate boolean DEFAULT true,
    sync_origin character varying(255) DEFAULT 'cloud'::character varying,
    remote_id uuid
);

CREATE TABLE delegations (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    task_definition text NOT NULL,
    status character varying(255) DEFAULT 'pending'::character varying,
    result_summary text,
    artifacts text,
    constraints text,
    from_agent_id uuid NOT NULL,
    to_agent_id uuid,
    context_id uuid NOT NULL,
    inserted_at timestamp without time zone NOT NULL,
    updated_at timestamp without time zone NOT NULL
);

CREATE TABLE diwa_schema_embedding_archive (
    table_name character varying(63) NOT NULL,
    row_id uuid NOT NULL,
    digest character varying(64) NOT NULL,
    kind character varying(255) NOT NULL,
    value bytea NOT NULL,
    reason text NOT NULL,
    archived_at timestamp without time zone NOT NULL
);

CREATE TABLE diwa_schema_kept_values (
    table_name character varying(63) NOT NULL,
    row_id uuid NOT NULL,
    column_name character varying(63) NOT NULL,
    value text NOT NULL,
    reason text NOT NULL,
    kept_at timestamp without time zone NOT NULL
);

CREATE TABLE embedding_cache (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    hash character varying(255) NOT NULL,
    model character varying(255) NOT NULL,
    expires_at timestamp(0) without time zone,
    inserted_at timestamp(0) without time zone NOT NULL,
    updated_at timestamp(0) without time zone NOT NULL,
    embedding {embedding}
);

CREATE TABLE hitl_escalations (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    context_id uuid NOT NULL,
    conflict_id uuid NOT NULL,
    status character varying(255) DEFAULT 'pending'::character varying,
    assigned_to character varying(255),
    resolution_notes text,
    inserted_at timestamp(0) without time zone NOT NULL,
    updated_at timestamp(0) without time zone NOT NULL,
    memory_a_id uuid,
    memory_b_id uuid,
    score double precision,
    CONSTRAINT hitl_escalations_status_check CHECK (((status)::text = ANY ((ARRAY['pending'::character varying, 'resolved'::character varying, 'rejected'::character varying])::text[])))
);

CREATE TABLE idempotency_log (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    context_id uuid NOT NULL,
    client_id character varying(255) NOT NULL,
    tool_name character varying(255) NOT NULL,
    result_id uuid,
    status character varying(255) NOT NULL,
    error_reason text,
    processed_at timestamp(0) without time zone DEFAULT now() NOT NULL
);

CREATE TABLE ingest_jobs (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    context_id uuid NOT NULL,
    status character varying(255),
    source_type character varying(255),
    source_path character varying(255),
    stats jsonb DEFAULT '{}'::jsonb,
    metadata jsonb DEFAULT '{}'::jsonb,
    inserted_at timestamp without time zone NOT NULL,
    updated_at timestamp without time zone NOT NULL
);

CREATE TABLE memories (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    context_id uuid NOT NULL,
    content text NOT NULL,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    actor character varying(255),
    project character varying(255),
    tags character varying(255)[],
    parent_id uuid,
    external_ref character varying(255),
    severity character varying(255),
    inserted_at timestamp(0) without time zone NOT NULL,
    updated_at timestamp(0) without time zone NOT NULL,
    tsv_content tsvector,
    deleted_at timestamp without time zone,
    memory_class character varying(255),
    priority character varying(255),
    lifecycle character varying(255),
    confidence double precision,
    source character varying(255),
    occurrence_count integer DEFAULT 1,
    last_accessed_at timestamp without time zone,
    expires_at timestamp without time zone,
    sync_origin character varying(255) DEFAULT 'cloud'::character varying,
    remote_id uuid,
    embedding {embedding},
    arrived_at timestamp without time zone DEFAULT (clock_timestamp() AT TIME ZONE 'UTC'::text),
    organization_id uuid
);

CREATE TABLE memory_checksums (
    memory_id uuid NOT NULL,
    structure_hash character varying(255),
    semantic_hash character varying(255),
    inserted_at timestamp(0) without time zone NOT NULL,
    updated_at timestamp(0) without time zone NOT NULL
);

CREATE TABLE memory_versions (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    memory_id uuid NOT NULL,
    content text NOT NULL,
    tags character varying(255)[] DEFAULT ARRAY[]::character varying[],
    metadata jsonb DEFAULT '{}'::jsonb,
    operation character varying(255) NOT NULL,
    actor character varying(255),
    reason text,
    parent_version_id uuid,
    inserted_at timestamp(0) without time zone NOT NULL,
    updated_at timestamp(0) without time zone NOT NULL,
    version_number integer
);

CREATE TABLE messages (
    id character varying(255) NOT NULL,
    role character varying(255),
    content text,
    panel_id character varying(255),
    inserted_at timestamp(0) without time zone NOT NULL,
    updated_at timestamp(0) without time zone NOT NULL
);

CREATE TABLE organizations (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    name character varying(255) NOT NULL,
    tier character varying(255) DEFAULT 'free'::character varying,
    inserted_at timestamp(0) without time zone NOT NULL,
    updated_at timestamp(0) without time zone NOT NULL,
    slug character varying(255),
    custom_domain character varying(255),
    CONSTRAINT organizations_slug_check CHECK (((slug)::text ~ '^[a-z0-9-]+$'::text))
);

CREATE TABLE orphan_review_logs (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    session_id uuid NOT NULL,
    context_id uuid NOT NULL,
    action character varying(255) NOT NULL,
    actor character varying(255) NOT NULL,
    reviewer_actor character varying(255) NOT NULL,
    operation_count integer DEFAULT 0,
    metadata jsonb DEFAULT '{}'::jsonb,
    inserted_at timestamp(0) without time zone NOT NULL,
    updated_at timestamp(0) without time zone NOT NULL
);

CREATE TABLE panels (
    id character varying(255) NOT NULL,
    provider character varying(255) NOT NULL,
    model character varying(255),
    preset_role character varying(255),
    "position" integer,
    workspace_id uuid,
    inserted_at timestamp(0) without time zone NOT NULL,
    updated_at timestamp(0) without time zone NOT NULL
);

CREATE TABLE plans (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    context_id uuid NOT NULL,
    status character varying(255) NOT NULL,
    completion_pct integer DEFAULT 0,
    notes text,
    inserted_at timestamp(0) without time zone NOT NULL,
    updated_at timestamp(0) without time zone NOT NULL,
    CONSTRAINT plans_completion_pct_check CHECK (((completion_pct >= 0) AND (completion_pct <= 100)))
);

CREATE TABLE secrets (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    key character varying(255) NOT NULL,
    value_encrypted bytea NOT NULL,
    inserted_at timestamp(0) without time zone NOT NULL,
    updated_at timestamp(0) without time zone NOT NULL
);

CREATE TABLE sessions (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    context_id uuid NOT NULL,
    actor character varying(255),
    started_at timestamp without time zone,
    ended_at timestamp without time zone,
    summary text,
    metadata jsonb DEFAULT '{}'::jsonb,
    inserted_at timestamp without time zone NOT NULL,
    updated_at timestamp without time zone NOT NULL
);

CREATE TABLE shortcut_aliases (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    alias_name character varying(255) NOT NULL,
    target_tool character varying(255) NOT NULL,
    args_schema character varying(255)[] DEFAULT ARRAY[]::character varying[],
    inserted_at timestamp(0) without time zone NOT NULL,
    updated_at timestamp(0) without time zone NOT NULL
);

CREATE TABLE sync_queue (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    type character varying(255) NOT NULL,
    payload jsonb NOT NULL,
    status character varying(255) DEFAULT 'pending'::character varying,
    priority integer DEFAULT 0,
    attempts integer DEFAULT 0,
    last_error text,
    scheduled_at timestamp without time zone,
    inserted_at timestamp without time zone NOT NULL,
    updated_at timestamp without time zone NOT NULL
);

CREATE TABLE tala_operations (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    session_id uuid,
    context_id uuid,
    tool_name character varying(255),
    params jsonb,
    actor character varying(255),
    status character varying(255) DEFAULT 'pending'::character varying,
    inserted_at timestamp(0) without time zone NOT NULL,
    capability_token text,
    phi_flag boolean DEFAULT false,
    merkle_root character varying(255),
    audit_hash character varying(255),
    degradation_tier character varying(255) DEFAULT 'online'::character varying
);

CREATE TABLE tasks (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    context_id uuid NOT NULL,
    title character varying(255) NOT NULL,
    description text,
    priority character varying(255) DEFAULT 'Medium'::character varying,
    status character varying(255) DEFAULT 'pending'::character varying,
    inserted_at timestamp(0) without time zone NOT NULL,
    updated_at timestamp(0) without time zone NOT NULL,
    CONSTRAINT tasks_priority_check CHECK (((priority)::text = ANY ((ARRAY['High'::character varying, 'Medium'::character varying, 'Low'::character varying])::text[]))),
    CONSTRAINT tasks_status_check CHECK (((status)::text = ANY ((ARRAY['pending'::character varying, 'completed'::character varying])::text[])))
);

CREATE TABLE usage_records (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    context_id uuid,
    provider character varying(255) NOT NULL,
    model character varying(255) NOT NULL,
    operation character varying(255) NOT NULL,
    tokens_input integer DEFAULT 0,
    tokens_output integer DEFAULT 0,
    total_tokens integer DEFAULT 0,
    cost_estimate numeric(10,6),
    duration_ms integer,
    inserted_at timestamp(0) without time zone NOT NULL,
    updated_at timestamp(0) without time zone NOT NULL,
    organization_id uuid,
    CONSTRAINT usage_records_total_tokens_check CHECK ((total_tokens = ((tokens_input)::bigint + tokens_output)))
);

CREATE TABLE workspaces (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    name character varying(255) NOT NULL,
    layout_type character varying(255) DEFAULT 'single'::character varying,
    ide_panel_order character varying(255)[] DEFAULT ARRAY['explorer'::character varying, 'chat'::character varying, 'code'::character varying],
    inserted_at timestamp(0) without time zone NOT NULL,
    updated_at timestamp(0) without time zone NOT NULL
);

ALTER TABLE ONLY agents
    ADD CONSTRAINT agents_pkey PRIMARY KEY (id);

ALTER TABLE ONLY api_keys
    ADD CONSTRAINT api_keys_pkey PRIMARY KEY (id);

ALTER TABLE ONLY checkpoints
    ADD CONSTRAINT checkpoints_pkey PRIMARY KEY (id);

ALTER TABLE ONLY conflict_performance
    ADD CONSTRAINT conflict_performance_pkey PRIMARY KEY (id);

ALTER TABLE ONLY conflict_resolution_outcomes
    ADD CONSTRAINT conflict_resolution_outcomes_pkey PRIMARY KEY (id);

ALTER TABLE ONLY context_bindings
    ADD CONSTRAINT context_bindings_pkey PRIMARY KEY (id);

ALTER TABLE ONLY context_commits
    ADD CONSTRAINT context_commits_pkey PRIMARY KEY (id);

ALTER TABLE ONLY context_registry
    ADD CONSTRAINT context_registry_pkey PRIMARY KEY (id);

ALTER TABLE ONLY context_relationships
    ADD CONSTRAINT context_relationships_pkey PRIMARY KEY (id);

ALTER TABLE ONLY contexts
    ADD CONSTRAINT contexts_pkey PRIMARY KEY (id);

ALTER TABLE ONLY delegations
    ADD CONSTRAINT delegations_pkey PRIMARY KEY (id);

ALTER TABLE ONLY diwa_schema_embedding_archive
    ADD CONSTRAINT diwa_schema_embedding_archive_pkey PRIMARY KEY (table_name, row_id, digest);

ALTER TABLE ONLY diwa_schema_kept_values
    ADD CONSTRAINT diwa_schema_kept_values_pkey PRIMARY KEY (table_name, row_id, column_name);

ALTER TABLE ONLY embedding_cache
    ADD CONSTRAINT embedding_cache_pkey PRIMARY KEY (id);

ALTER TABLE ONLY hitl_escalations
    ADD CONSTRAINT hitl_escalations_pkey PRIMARY KEY (id);

ALTER TABLE ONLY idempotency_log
    ADD CONSTRAINT idempotency_log_pkey PRIMARY KEY (id);

ALTER TABLE ONLY ingest_jobs
    ADD CONSTRAINT ingest_jobs_pkey PRIMARY KEY (id);

ALTER TABLE ONLY memories
    ADD CONSTRAINT memories_pkey PRIMARY KEY (id);

ALTER TABLE ONLY memory_checksums
    ADD CONSTRAINT memory_checksums_pkey PRIMARY KEY (memory_id);

ALTER TABLE ONLY memory_versions
    ADD CONSTRAINT memory_versions_pkey PRIMARY KEY (id);

ALTER TABLE ONLY messages
    ADD CONSTRAINT messages_pkey PRIMARY KEY (id);

ALTER TABLE ONLY organizations
    ADD CONSTRAINT organizations_pkey PRIMARY KEY (id);

ALTER TABLE ONLY orphan_review_logs
    ADD CONSTRAINT orphan_review_logs_pkey PRIMARY KEY (id);

ALTER TABLE ONLY panels
    ADD CONSTRAINT panels_pkey PRIMARY KEY (id);

ALTER TABLE ONLY plans
    ADD CONSTRAINT plans_pkey PRIMARY KEY (id);

ALTER TABLE ONLY secrets
    ADD CONSTRAINT secrets_pkey PRIMARY KEY (id);

ALTER TABLE ONLY sessions
    ADD CONSTRAINT sessions_pkey PRIMARY KEY (id);

ALTER TABLE ONLY shortcut_aliases
    ADD CONSTRAINT shortcut_aliases_pkey PRIMARY KEY (id);

ALTER TABLE ONLY sync_queue
    ADD CONSTRAINT sync_queue_pkey PRIMARY KEY (id);

ALTER TABLE ONLY tala_operations
    ADD CONSTRAINT tala_operations_pkey PRIMARY KEY (id);

ALTER TABLE ONLY tasks
    ADD CONSTRAINT tasks_pkey PRIMARY KEY (id);

ALTER TABLE ONLY usage_records
    ADD CONSTRAINT usage_records_pkey PRIMARY KEY (id);

ALTER TABLE ONLY workspaces
    ADD CONSTRAINT workspaces_pkey PRIMARY KEY (id);

CREATE INDEX agents_context_id_index ON agents USING btree (context_id);

CREATE INDEX agents_role_index ON agents USING btree (role);

CREATE INDEX agents_status_index ON agents USING btree (status);

CREATE UNIQUE INDEX api_keys_key_hash_index ON api_keys USING btree (key_hash);

CREATE INDEX api_keys_key_prefix_index ON api_keys USING btree (key_prefix);

CREATE INDEX api_keys_organization_id_index ON api_keys USING btree (organization_id);

CREATE INDEX checkpoints_created_at_index ON checkpoints USING btree (created_at);

CREATE UNIQUE INDEX checkpoints_session_id_sequence_number_index ON checkpoints USING btree (session_id, sequence_number);

CREATE UNIQUE INDEX conflict_performance_context_id_index ON conflict_performance USING btree (context_id);

CREATE INDEX conflict_performance_updated_at_index ON conflict_performance USING btree (updated_at);

CREATE INDEX conflict_resolution_outcomes_conflict_id_index ON conflict_resolution_outcomes USING btree (conflict_id);

CREATE INDEX conflict_resolution_outcomes_context_id_index ON conflict_resolution_outcomes USING btree (context_id);

CREATE UNIQUE INDEX context_bindings_context_id_binding_type_value_index ON context_bindings USING btree (context_id, binding_type, value);

CREATE INDEX context_bindings_lookup_index ON context_bindings USING btree (binding_type, value, inserted_at, id);

CREATE INDEX context_commits_context_id_index ON context_commits USING btree (context_id);

CREATE INDEX context_commits_hash_index ON context_commits USING btree (hash);

CREATE INDEX context_registry_context_id_index ON context_registry USING btree (context_id);

CREATE UNIQUE INDEX context_registry_name_index ON context_registry USING btree (name);

CREATE UNIQUE INDEX context_relationships_source_context_id_target_context_id_relat ON context_relationships USING btree (source_context_id, target_context_id, relationship_type);

CREATE INDEX context_relationships_target_context_id_index ON context_relationships USING btree (target_context_id);

CREATE UNIQUE INDEX contexts_id_organization_id_index ON contexts USING btree (id, organization_id);

CREATE INDEX contexts_name_index ON contexts USING btree (name);

CREATE INDEX contexts_organization_id_index ON contexts USING btree (organization_id);

CREATE INDEX contexts_organization_id_lower_name_index ON contexts USING btree (organization_id, lower((name)::text));

CREATE INDEX contexts_sync_origin_index ON contexts USING btree (sync_origin);

CREATE INDEX delegations_context_id_index ON delegations USING btree (context_id);

CREATE INDEX delegations_from_agent_id_index ON delegations USING btree (from_agent_id);

CREATE INDEX delegations_status_index ON delegations USING btree (status);

CREATE INDEX delegations_to_agent_id_index ON delegations USING btree (to_agent_id);

CREATE UNIQUE INDEX embedding_cache_hash_model_index ON embedding_cache USING btree (hash, model);

CREATE INDEX hitl_escalations_context_id_status_index ON hitl_escalations USING btree (context_id, status);

CREATE INDEX hitl_escalations_memory_a_id_index ON hitl_escalations USING btree (memory_a_id);

CREATE INDEX hitl_escalations_memory_b_id_index ON hitl_escalations USING btree (memory_b_id);

CREATE UNIQUE INDEX idempotency_log_context_id_client_id_index ON idempotency_log USING btree (context_id, client_id);

CREATE INDEX idempotency_log_processed_at_index ON idempotency_log USING btree (processed_at);

CREATE INDEX ingest_jobs_context_id_index ON ingest_jobs USING btree (context_id);

CREATE INDEX ingest_jobs_status_index ON ingest_jobs USING btree (status);

CREATE INDEX memories_content_index ON memories USING hash (content);

CREATE INDEX memories_context_id_index ON memories USING btree (context_id);

CREATE INDEX memories_context_live_index ON memories USING btree (context_id, arrived_at, id) WHERE (deleted_at IS NULL);

CREATE INDEX memories_context_type_index ON memories USING btree (context_id, substr((metadata ->> 'type'::text), 1, 255), arrived_at, id) WHERE (deleted_at IS NULL);

CREATE INDEX memories_embedded_index ON memories USING btree (context_id) WHERE ((deleted_at IS NULL) AND (embedding IS NOT NULL));

CREATE INDEX memories_expiring_index ON memories USING btree (expires_at) WHERE ((deleted_at IS NULL) AND (expires_at IS NOT NULL));

CREATE INDEX memories_live_index ON memories USING btree (arrived_at, id) WHERE (deleted_at IS NULL);

CREATE INDEX memories_organization_id_index ON memories USING btree (organization_id);

CREATE INDEX memories_parent_id_index ON memories USING btree (parent_id);

CREATE INDEX memories_rules_index ON memories USING btree (context_id, memory_class) WHERE ((deleted_at IS NULL) AND ((memory_class)::text = ANY ((ARRAY['user_rule'::character varying, 'system_instruction'::character varying])::text[])));

CREATE INDEX memories_search_index ON memories USING gin ((ARRAY[context_id]), tags, tsv_content) WHERE (deleted_at IS NULL);

CREATE INDEX memory_versions_inserted_at_index ON memory_versions USING btree (inserted_at);

CREATE UNIQUE INDEX memory_versions_memory_id_version_number_index ON memory_versions USING btree (memory_id, version_number);

CREATE INDEX messages_inserted_at_index ON messages USING btree (inserted_at);

CREATE INDEX messages_panel_id_index ON messages USING btree (panel_id);

CREATE UNIQUE INDEX organizations_custom_domain_index ON organizations USING btree (custom_domain);

CREATE UNIQUE INDEX organizations_slug_index ON organizations USING btree (slug);

CREATE INDEX orphan_review_logs_action_index ON orphan_review_logs USING btree (action);

CREATE INDEX orphan_review_logs_context_id_index ON orphan_review_logs USING btree (context_id);

CREATE INDEX orphan_review_logs_session_id_index ON orphan_review_logs USING btree (session_id);

CREATE INDEX panels_workspace_id_position_index ON panels USING btree (workspace_id, "position");

CREATE INDEX plans_context_id_index ON plans USING btree (context_id);

CREATE UNIQUE INDEX plans_context_id_key ON plans USING btree (context_id);

CREATE UNIQUE INDEX secrets_key_index ON secrets USING btree (key);

CREATE INDEX sessions_actor_index ON sessions USING btree (actor);

CREATE INDEX sessions_context_id_index ON sessions USING btree (context_id);

CREATE UNIQUE INDEX shortcut_aliases_alias_name_index ON shortcut_aliases USING btree (alias_name);

CREATE INDEX sync_queue_ready_index ON sync_queue USING btree (priority DESC, inserted_at, id) WHERE (((status)::text = 'pending'::text) OR (((status)::text = 'failed'::text) AND (attempts < 10)));

CREATE INDEX tala_operations_audit_hash_index ON tala_operations USING btree (audit_hash);

CREATE INDEX tala_operations_context_id_index ON tala_operations USING btree (context_id);

CREATE INDEX tala_operations_phi_flag_index ON tala_operations USING btree (phi_flag);

CREATE INDEX tala_operations_session_id_index ON tala_operations USING btree (session_id);

CREATE INDEX tala_operations_status_index ON tala_operations USING btree (status);

CREATE INDEX tasks_context_id_index ON tasks USING btree (context_id);

CREATE INDEX tasks_pending_index ON tasks USING btree (context_id, COALESCE(array_position(ARRAY['High'::character varying, 'Medium'::character varying, 'Low'::character varying], priority), 4), inserted_at DESC, id DESC) WHERE ((status)::text = 'pending'::text);

CREATE INDEX tasks_status_index ON tasks USING btree (status);

CREATE INDEX usage_records_context_id_index ON usage_records USING btree (context_id);

CREATE INDEX usage_records_inserted_at_index ON usage_records USING btree (inserted_at);

CREATE INDEX usage_records_organization_id_inserted_at_index ON usage_records USING btree (organization_id, inserted_at);

CREATE INDEX workspaces_name_index ON workspaces USING btree (name);

CREATE TRIGGER memories_organization_id_filled BEFORE INSERT OR UPDATE ON memories FOR EACH ROW WHEN ((new.organization_id IS NULL)) EXECUTE FUNCTION diwa_schema_organization();

ALTER TABLE memories ENABLE ALWAYS TRIGGER memories_organization_id_filled;

CREATE TRIGGER memories_organization_id_moved BEFORE UPDATE OF context_id ON memories FOR EACH ROW WHEN (((old.context_id IS DISTINCT FROM new.context_id) AND (NOT (old.organization_id IS DISTINCT FROM new.organization_id)))) EXECUTE FUNCTION diwa_schema_organization();

ALTER TABLE memories ENABLE ALWAYS TRIGGER memories_organization_id_moved;

CREATE TRIGGER memory_versions_version_number_filled BEFORE INSERT ON memory_versions FOR EACH ROW EXECUTE FUNCTION diwa_schema_memory_versions_version_number();

CREATE TRIGGER organizations_slug_filled BEFORE INSERT OR UPDATE OF slug ON organizations FOR EACH ROW EXECUTE FUNCTION diwa_schema_organizations_slug();

CREATE TRIGGER tsvectorupdate BEFORE INSERT OR UPDATE OF content ON memories FOR EACH ROW EXECUTE FUNCTION tsvector_update_trigger('tsv_content', 'pg_catalog.english', 'content');

CREATE TRIGGER usage_records_organization_id_filled BEFORE INSERT ON usage_records FOR EACH ROW WHEN (((new.organization_id IS NULL) AND (new.context_id IS NOT NULL))) EXECUTE FUNCTION diwa_schema_usage_records_organization_id();

ALTER TABLE ONLY agents
    ADD CONSTRAINT agents_context_id_fkey FOREIGN KEY (context_id) REFERENCES contexts(id) ON DELETE CASCADE;

ALTER TABLE ONLY api_keys
    ADD CONSTRAINT api_keys_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations(id) ON DELETE CASCADE;

ALTER TABLE ONLY checkpoints
    ADD CONSTRAINT checkpoints_session_id_fkey FOREIGN KEY (session_id) REFERENCES sessions(id) ON DELETE CASCADE;

ALTER TABLE ONLY conflict_performance
    ADD CONSTRAINT conflict_performance_context_id_fkey FOREIGN KEY (context_id) REFERENCES contexts(id) ON DELETE CASCADE;

ALTER TABLE ONLY conflict_resolution_outcomes
    ADD CONSTRAINT conflict_resolution_outcomes_context_id_fkey FOREIGN KEY (context_id) REFERENCES contexts(id) ON DELETE CASCADE;

ALTER TABLE ONLY context_bindings
    ADD CONSTRAINT context_bindings_context_id_fkey FOREIGN KEY (context_id) REFERENCES contexts(id) ON DELETE CASCADE;

ALTER TABLE ONLY context_commits
    ADD CONSTRAINT context_commits_context_id_fkey FOREIGN KEY (context_id) REFERENCES contexts(id) ON DELETE CASCADE;

ALTER TABLE ONLY context_registry
    ADD CONSTRAINT context_registry_context_id_fkey FOREIGN KEY (context_id) REFERENCES contexts(id) ON DELETE CASCADE;

ALTER TABLE ONLY context_relationships
    ADD CONSTRAINT context_relationships_source_context_id_fkey FOREIGN KEY (source_context_id) REFERENCES contexts(id) ON DELETE CASCADE;

ALTER TABLE ONLY context_relationships
    ADD CONSTRAINT context_relationships_target_context_id_fkey FOREIGN KEY (target_context_id) REFERENCES contexts(id) ON DELETE CASCADE;

ALTER TABLE ONLY contexts
    ADD CONSTRAINT contexts_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations(id) ON DELETE CASCADE;

ALTER TABLE ONLY delegations
    ADD CONSTRAINT delegations_context_id_fkey FOREIGN KEY (context_id) REFERENCES contexts(id) ON DELETE CASCADE;

ALTER TABLE ONLY delegations
    ADD CONSTRAINT delegations_from_agent_id_fkey FOREIGN KEY (from_agent_id) REFERENCES agents(id) ON DELETE CASCADE;

ALTER TABLE ONLY delegations
    ADD CONSTRAINT delegations_to_agent_id_fkey FOREIGN KEY (to_agent_id) REFERENCES agents(id) ON DELETE CASCADE;

ALTER TABLE ONLY hitl_escalations
    ADD CONSTRAINT hitl_escalations_context_id_fkey FOREIGN KEY (context_id) REFERENCES contexts(id) ON DELETE CASCADE;

ALTER TABLE ONLY hitl_escalations
    ADD CONSTRAINT hitl_escalations_memory_a_id_fkey FOREIGN KEY (memory_a_id) REFERENCES memories(id) ON DELETE SET NULL;

ALTER TABLE ONLY hitl_escalations
    ADD CONSTRAINT hitl_escalations_memory_b_id_fkey FOREIGN KEY (memory_b_id) REFERENCES memories(id) ON DELETE SET NULL;

ALTER TABLE ONLY idempotency_log
    ADD CONSTRAINT idempotency_log_context_id_fkey FOREIGN KEY (context_id) REFERENCES contexts(id) ON DELETE CASCADE;

ALTER TABLE ONLY ingest_jobs
    ADD CONSTRAINT ingest_jobs_context_id_fkey FOREIGN KEY (context_id) REFERENCES contexts(id) ON DELETE CASCADE;

ALTER TABLE ONLY memories
    ADD CONSTRAINT memories_context_id_fkey FOREIGN KEY (context_id, organization_id) REFERENCES contexts(id, organization_id) MATCH FULL ON UPDATE CASCADE ON DELETE CASCADE;

ALTER TABLE ONLY memories
    ADD CONSTRAINT memories_parent_id_fkey FOREIGN KEY (parent_id) REFERENCES memories(id) ON DELETE SET NULL;

ALTER TABLE ONLY memory_checksums
    ADD CONSTRAINT memory_checksums_memory_id_fkey FOREIGN KEY (memory_id) REFERENCES memories(id) ON DELETE CASCADE;

ALTER TABLE ONLY memory_versions
    ADD CONSTRAINT memory_versions_memory_id_fkey FOREIGN KEY (memory_id) REFERENCES memories(id) ON DELETE CASCADE;

ALTER TABLE ONLY messages
    ADD CONSTRAINT messages_panel_id_fkey FOREIGN KEY (panel_id) REFERENCES panels(id) ON DELETE CASCADE;

ALTER TABLE ONLY panels
    ADD CONSTRAINT panels_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES workspaces(id) ON DELETE CASCADE;

ALTER TABLE ONLY plans
    ADD CONSTRAINT plans_context_id_fkey FOREIGN KEY (context_id) REFERENCES contexts(id) ON DELETE CASCADE;

ALTER TABLE ONLY sessions
    ADD CONSTRAINT sessions_context_id_fkey FOREIGN KEY (context_id) REFERENCES contexts(id) ON DELETE CASCADE;

ALTER TABLE ONLY tasks
    ADD CONSTRAINT tasks_context_id_fkey FOREIGN KEY (context_id) REFERENCES contexts(id) ON DELETE CASCADE;

ALTER TABLE ONLY usage_records
    ADD CONSTRAINT usage_records_context_id_fkey FOREIGN KEY (context_id) REFERENCES contexts(id) ON DELETE SET NULL;
