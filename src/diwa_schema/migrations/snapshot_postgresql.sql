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

COMMENT ON COLUMN agents.id IS 'The key of the row. The client makes it, and PostgreSQL where a client sends none.';

COMMENT ON COLUMN agents.name IS 'The name of the program.';

COMMENT ON COLUMN agents.role IS 'The part that the program plays; the lists in the Elixir code disagree.';

COMMENT ON COLUMN agents.capabilities IS 'What the program can do: a JSON list by convention, kept as text because some rows hold other text.';

COMMENT ON COLUMN agents.status IS 'Whether the program is available; the default is in neither of the two lists in the Elixir code.';

COMMENT ON COLUMN agents.context_id IS 'The context that the program works in.';

COMMENT ON COLUMN agents.inserted_at IS 'When the row was made.';

COMMENT ON COLUMN agents.updated_at IS 'When an application last changed the row; a plain UPDATE leaves it as it was.';

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

COMMENT ON COLUMN api_keys.id IS 'The key of the row. The client makes it, and PostgreSQL where a client sends none.';

COMMENT ON COLUMN api_keys.name IS 'What the key is called, to tell it from others.';

COMMENT ON COLUMN api_keys.key_hash IS 'The hash of the key; the key itself is kept nowhere.';

COMMENT ON COLUMN api_keys.key_prefix IS 'The first characters of the key, to recognise it by.';

COMMENT ON COLUMN api_keys.organization_id IS 'The organization that the key acts for.';

COMMENT ON COLUMN api_keys.status IS 'Whether the key is accepted.';

COMMENT ON COLUMN api_keys.last_used_at IS 'When the key was last used.';

COMMENT ON COLUMN api_keys.expires_at IS 'When the key stops being accepted; NULL for never.';

COMMENT ON COLUMN api_keys.inserted_at IS 'When the row was made.';

COMMENT ON COLUMN api_keys.updated_at IS 'When an application last changed the row; a plain UPDATE leaves it as it was.';

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

COMMENT ON COLUMN checkpoints.id IS 'The key of the row. The client makes it, and PostgreSQL where a client sends none.';

COMMENT ON COLUMN checkpoints.session_id IS 'The session whose operations are kept; deleting it deletes its checkpoints.';

COMMENT ON COLUMN checkpoints.sequence_number IS 'Counts the checkpoints of a session. Unit: position.';

COMMENT ON COLUMN checkpoints.buffer_snapshot IS 'The buffered operations as a JSON document, a list by convention.';

COMMENT ON COLUMN checkpoints.operation_count IS 'How many operations the snapshot holds. Unit: operations.';

COMMENT ON COLUMN checkpoints.byte_size IS 'The size of the snapshot. Unit: bytes.';

COMMENT ON COLUMN checkpoints.checksum IS 'The checksum of the snapshot, as 64 hexadecimal digits by convention.';

COMMENT ON COLUMN checkpoints.created_at IS 'When the row was made.';

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

COMMENT ON COLUMN conflict_performance.id IS 'The key of the row. The client makes it, and PostgreSQL where a client sends none.';

COMMENT ON COLUMN conflict_performance.context_id IS 'The context that is measured; each has at most one row.';

COMMENT ON COLUMN conflict_performance.resolutions IS 'The latest resolutions as a JSON document, a list of objects by convention; on SQLite Ecto leaves a list of texts that are JSON.';

COMMENT ON COLUMN conflict_performance.false_positive_count IS 'How often a reported conflict turned out to be none. Unit: conflicts.';

COMMENT ON COLUMN conflict_performance.false_negative_count IS 'How often a conflict was overlooked. Unit: conflicts.';

COMMENT ON COLUMN conflict_performance.total_count IS 'How many conflicts were decided. Unit: conflicts.';

COMMENT ON COLUMN conflict_performance.window_size IS 'How many of the latest resolutions count. Unit: resolutions.';

COMMENT ON COLUMN conflict_performance.inserted_at IS 'When the row was made.';

COMMENT ON COLUMN conflict_performance.updated_at IS 'When an application last changed the row; a plain UPDATE leaves it as it was.';

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

COMMENT ON COLUMN conflict_resolution_outcomes.id IS 'The key of the row. The client makes it, and PostgreSQL where a client sends none.';

COMMENT ON COLUMN conflict_resolution_outcomes.context_id IS 'The context in which the conflict was found.';

COMMENT ON COLUMN conflict_resolution_outcomes.conflict_id IS 'The conflict; no table holds conflicts.';

COMMENT ON COLUMN conflict_resolution_outcomes.resolution_id IS 'The proposed resolution; no table holds resolutions.';

COMMENT ON COLUMN conflict_resolution_outcomes.threshold_used IS 'The similarity from which the memories were compared. Unit: similarity, 0 to 1.';

COMMENT ON COLUMN conflict_resolution_outcomes.outcome IS 'What became of the proposal.';

COMMENT ON COLUMN conflict_resolution_outcomes.feedback_score IS 'How good people found the proposal; the Elixir code names no range. Unit: score.';

COMMENT ON COLUMN conflict_resolution_outcomes.inserted_at IS 'When the row was made.';

COMMENT ON COLUMN conflict_resolution_outcomes.updated_at IS 'When an application last changed the row; a plain UPDATE leaves it as it was.';

CREATE TABLE context_bindings (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    context_id uuid NOT NULL,
    binding_type character varying(255) NOT NULL,
    value character varying(255) NOT NULL,
    metadata jsonb DEFAULT '{}'::jsonb,
    inserted_at timestamp without time zone NOT NULL,
    updated_at timestamp without time zone NOT NULL
);

COMMENT ON COLUMN context_bindings.id IS 'The key of the row. The client makes it, and PostgreSQL where a client sends none.';

COMMENT ON COLUMN context_bindings.context_id IS 'The context that the binding leads to.';

COMMENT ON COLUMN context_bindings.binding_type IS 'What kind of trace the value is.';

COMMENT ON COLUMN context_bindings.value IS 'The trace itself: a path, the address of a git remote or the value of a variable.';

COMMENT ON COLUMN context_bindings.metadata IS 'Further facts about the binding as a JSON object.';

COMMENT ON COLUMN context_bindings.inserted_at IS 'When the row was made.';

COMMENT ON COLUMN context_bindings.updated_at IS 'When an application last changed the row; a plain UPDATE leaves it as it was.';

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

COMMENT ON COLUMN context_commits.id IS 'The key of the row. The client makes it, and PostgreSQL where a client sends none.';

COMMENT ON COLUMN context_commits.context_id IS 'The context whose state was committed.';

COMMENT ON COLUMN context_commits.hash IS 'The hash that identifies the commit; the database does not keep it unique.';

COMMENT ON COLUMN context_commits.parent_hash IS 'The hash of the commit before this one; it has no foreign key.';

COMMENT ON COLUMN context_commits.platform IS 'The platform on which the commit was made.';

COMMENT ON COLUMN context_commits.message IS 'What the commit is about, in free text.';

COMMENT ON COLUMN context_commits.inserted_at IS 'When the row was made.';

COMMENT ON COLUMN context_commits.updated_at IS 'When an application last changed the row; a plain UPDATE leaves it as it was.';

COMMENT ON COLUMN context_commits.signature IS 'The signature over the commit.';

COMMENT ON COLUMN context_commits.signer_pubkey IS 'The public key that the signature is checked with; it identifies the signer.';

CREATE TABLE context_registry (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    name character varying(255) NOT NULL,
    context_id uuid,
    platform_ref jsonb DEFAULT '{}'::jsonb,
    inserted_at timestamp(0) without time zone NOT NULL,
    updated_at timestamp(0) without time zone NOT NULL
);

COMMENT ON COLUMN context_registry.id IS 'The key of the row. The client makes it, and PostgreSQL where a client sends none.';

COMMENT ON COLUMN context_registry.name IS 'The name under which the context is registered; it is unique in the whole database.';

COMMENT ON COLUMN context_registry.context_id IS 'The context that the name stands for.';

COMMENT ON COLUMN context_registry.platform_ref IS 'How other platforms refer to the context, as a JSON object.';

COMMENT ON COLUMN context_registry.inserted_at IS 'When the row was made.';

COMMENT ON COLUMN context_registry.updated_at IS 'When an application last changed the row; a plain UPDATE leaves it as it was.';

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

COMMENT ON COLUMN context_relationships.id IS 'The key of the row. The client makes it, and PostgreSQL where a client sends none.';

COMMENT ON COLUMN context_relationships.source_context_id IS 'The context from which the link starts.';

COMMENT ON COLUMN context_relationships.target_context_id IS 'The context to which the link leads.';

COMMENT ON COLUMN context_relationships.relationship_type IS 'What the link means; the lists in the Elixir code disagree, and only depends_on, child_of and contains have behaviour.';

COMMENT ON COLUMN context_relationships.metadata IS 'Further facts about the link as a JSON object.';

COMMENT ON COLUMN context_relationships.inserted_at IS 'When the row was made.';

COMMENT ON COLUMN context_relationships.updated_at IS 'When an application last changed the row; a plain UPDATE leaves it as it was.';

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
    sync_origin character varying(255),
    remote_id uuid
);

COMMENT ON COLUMN contexts.id IS 'The key of the row. The client makes it, and PostgreSQL where a client sends none.';

COMMENT ON COLUMN contexts.organization_id IS 'The organization that the context belongs to.';

COMMENT ON COLUMN contexts.name IS 'The name that people give the context; the database does not keep it unique.';

COMMENT ON COLUMN contexts.description IS 'What the context is about, in free text.';

COMMENT ON COLUMN contexts.health_score IS 'How well the context is kept; the database does not keep the range. Unit: points, 0 to 100.';

COMMENT ON COLUMN contexts.inserted_at IS 'When the row was made.';

COMMENT ON COLUMN contexts.updated_at IS 'When an application last changed the row; a plain UPDATE leaves it as it was.';

COMMENT ON COLUMN contexts.conflict_domain IS 'The field of knowledge that conflict detection assumes.';

COMMENT ON COLUMN contexts.conflict_safety_level IS 'How careful conflict detection is; the agent''s change log mentions levels 0 to 5.';

COMMENT ON COLUMN contexts.conflict_base_threshold IS 'The similarity from which two memories are compared for a conflict. Unit: similarity, 0 to 1.';

COMMENT ON COLUMN contexts.conflict_auto_calibrate IS 'Whether outcomes of conflicts may adjust the threshold.';

COMMENT ON COLUMN contexts.sync_origin IS 'The side on which the row was made. Older rows may hold a default that no writer gave.';

COMMENT ON COLUMN contexts.remote_id IS 'The id of the same context on the other side of a synchronisation; it has no foreign key.';

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

COMMENT ON COLUMN delegations.id IS 'The key of the row. The client makes it, and PostgreSQL where a client sends none.';

COMMENT ON COLUMN delegations.task_definition IS 'What is to be done, in free text.';

COMMENT ON COLUMN delegations.status IS 'How far the work is.';

COMMENT ON COLUMN delegations.result_summary IS 'What came of the work, in free text.';

COMMENT ON COLUMN delegations.artifacts IS 'What the work produced: a JSON list by convention, kept as text because some rows hold other text.';

COMMENT ON COLUMN delegations.constraints IS 'What the work must respect: a JSON object by convention, kept as text because some rows hold other text.';

COMMENT ON COLUMN delegations.from_agent_id IS 'The program that hands the work over; deleting it deletes the delegation.';

COMMENT ON COLUMN delegations.to_agent_id IS 'The program that takes the work; NULL leaves it to any. Deleting it deletes the delegation.';

COMMENT ON COLUMN delegations.context_id IS 'The context that the work belongs to.';

COMMENT ON COLUMN delegations.inserted_at IS 'When the row was made.';

COMMENT ON COLUMN delegations.updated_at IS 'When an application last changed the row; a plain UPDATE leaves it as it was.';

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

COMMENT ON COLUMN embedding_cache.id IS 'The key of the row. The client makes it, and PostgreSQL where a client sends none.';

COMMENT ON COLUMN embedding_cache.hash IS 'The hash of the text; the text itself is not kept.';

COMMENT ON COLUMN embedding_cache.model IS 'The name of the embedding model.';

COMMENT ON COLUMN embedding_cache.expires_at IS 'When the entry may be dropped; NULL for never.';

COMMENT ON COLUMN embedding_cache.inserted_at IS 'When the row was made.';

COMMENT ON COLUMN embedding_cache.updated_at IS 'When an application last changed the row; a plain UPDATE leaves it as it was.';

COMMENT ON COLUMN embedding_cache.embedding IS 'The position of the text in the model''s space; a vector or bytes, depending on the database. Unit: 1536 numbers.';

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

COMMENT ON COLUMN hitl_escalations.id IS 'The key of the row. The client makes it, and PostgreSQL where a client sends none.';

COMMENT ON COLUMN hitl_escalations.context_id IS 'The context in which the conflict was found.';

COMMENT ON COLUMN hitl_escalations.conflict_id IS 'The conflict to be decided; no table holds conflicts.';

COMMENT ON COLUMN hitl_escalations.status IS 'Whether a person has decided.';

COMMENT ON COLUMN hitl_escalations.assigned_to IS 'The person who is to decide.';

COMMENT ON COLUMN hitl_escalations.resolution_notes IS 'How and why the person decided, in free text.';

COMMENT ON COLUMN hitl_escalations.inserted_at IS 'When the row was made.';

COMMENT ON COLUMN hitl_escalations.updated_at IS 'When an application last changed the row; a plain UPDATE leaves it as it was.';

COMMENT ON COLUMN hitl_escalations.memory_a_id IS 'The first of the two memories.';

COMMENT ON COLUMN hitl_escalations.memory_b_id IS 'The second of the two memories.';

COMMENT ON COLUMN hitl_escalations.score IS 'How much the two memories contradict each other. Unit: share, 0 to 1.';

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

COMMENT ON COLUMN idempotency_log.id IS 'The key of the row. The client makes it, and PostgreSQL where a client sends none.';

COMMENT ON COLUMN idempotency_log.context_id IS 'The context in which the call was made.';

COMMENT ON COLUMN idempotency_log.client_id IS 'The name that the client gives the call; it is unique within a context.';

COMMENT ON COLUMN idempotency_log.tool_name IS 'The tool that was called.';

COMMENT ON COLUMN idempotency_log.result_id IS 'The id of the row that the call made; it has no foreign key.';

COMMENT ON COLUMN idempotency_log.status IS 'How the call ended; the Elixir code names no value.';

COMMENT ON COLUMN idempotency_log.error_reason IS 'Why the call failed, in free text.';

COMMENT ON COLUMN idempotency_log.processed_at IS 'When the call was answered: UTC from a client, the connection''s local time from the default of PostgreSQL.';

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

COMMENT ON COLUMN ingest_jobs.id IS 'The key of the row. The client makes it, and PostgreSQL where a client sends none.';

COMMENT ON COLUMN ingest_jobs.context_id IS 'The context that takes the memories.';

COMMENT ON COLUMN ingest_jobs.status IS 'How far the import is; the agent does not write pending.';

COMMENT ON COLUMN ingest_jobs.source_type IS 'What kind of source is read; the list of the Elixir model lacks the agent''s filesystem.';

COMMENT ON COLUMN ingest_jobs.source_path IS 'Where the source is; a path can contain the name of an account.';

COMMENT ON COLUMN ingest_jobs.stats IS 'The counts of the import as a JSON object.';

COMMENT ON COLUMN ingest_jobs.metadata IS 'Further facts about the import as a JSON object.';

COMMENT ON COLUMN ingest_jobs.inserted_at IS 'When the row was made.';

COMMENT ON COLUMN ingest_jobs.updated_at IS 'When an application last changed the row; a plain UPDATE leaves it as it was.';

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
    sync_origin character varying(255),
    remote_id uuid,
    embedding {embedding},
    arrived_at timestamp without time zone DEFAULT (clock_timestamp() AT TIME ZONE 'UTC'::text),
    organization_id uuid
);

COMMENT ON COLUMN memories.id IS 'The key of the row. The client makes it, and PostgreSQL where a client sends none.';

COMMENT ON COLUMN memories.context_id IS 'The context that the memory belongs to.';

COMMENT ON COLUMN memories.content IS 'What is remembered, in free text.';

COMMENT ON COLUMN memories.metadata IS 'Further facts as a JSON document, an object by convention; its keys type, status and severity repeat or contradict columns.';

COMMENT ON COLUMN memories.actor IS 'The person or program that added the memory.';

COMMENT ON COLUMN memories.project IS 'The name of the project that the memory comes from.';

COMMENT ON COLUMN memories.tags IS 'Words to find the memory by; each has at most 255 characters.';

COMMENT ON COLUMN memories.parent_id IS 'The memory that this one continues or refines.';

COMMENT ON COLUMN memories.external_ref IS 'Where the memory comes from outside: a ticket, an address or a file.';

COMMENT ON COLUMN memories.severity IS 'How serious the matter is; the lists in the Elixir code disagree, and blockers keep theirs in the metadata.';

COMMENT ON COLUMN memories.inserted_at IS 'When the row was made.';

COMMENT ON COLUMN memories.updated_at IS 'When an application last changed the row; a plain UPDATE leaves it as it was.';

COMMENT ON COLUMN memories.tsv_content IS 'The words of the content for full-text search in English; PostgreSQL only, read when asked for.';

COMMENT ON COLUMN memories.deleted_at IS 'When the applications deleted the memory; the row stays, and NULL means that it is alive.';

COMMENT ON COLUMN memories.memory_class IS 'What kind of knowledge the memory is.';

COMMENT ON COLUMN memories.priority IS 'How important the memory is, in lower case, unlike the priority of a task.';

COMMENT ON COLUMN memories.lifecycle IS 'How long the memory is meant to be kept; after ten uses the agent turns ephemeral into project.';

COMMENT ON COLUMN memories.confidence IS 'How certain the classification of the memory is. Unit: share, 0 to 1.';

COMMENT ON COLUMN memories.source IS 'Where the memory came from: a tool, an import or a file.';

COMMENT ON COLUMN memories.occurrence_count IS 'How often the same thing was remembered. Unit: occurrences. Older rows may hold a default that no writer gave.';

COMMENT ON COLUMN memories.last_accessed_at IS 'When the memory was last used.';

COMMENT ON COLUMN memories.expires_at IS 'When the memory loses its validity; the row is not deleted at that time.';

COMMENT ON COLUMN memories.sync_origin IS 'The side on which the row was made. Older rows may hold a default that no writer gave.';

COMMENT ON COLUMN memories.remote_id IS 'The id of the same memory on the other side of a synchronisation; it has no foreign key.';

COMMENT ON COLUMN memories.embedding IS 'The position of the content in the space of an embedding model; a vector or bytes, depending on the database. Unit: 1536 numbers.';

COMMENT ON COLUMN memories.arrived_at IS 'When the database took the row in, which orders memories within a second; rows older than the column have the time at which they were made.';

COMMENT ON COLUMN memories.organization_id IS 'The organization of the memory''s context. The database fills it, changes it with the context''s and refuses any other.';

CREATE TABLE memory_checksums (
    memory_id uuid NOT NULL,
    structure_hash character varying(255),
    semantic_hash character varying(255),
    inserted_at timestamp(0) without time zone NOT NULL,
    updated_at timestamp(0) without time zone NOT NULL
);

COMMENT ON COLUMN memory_checksums.memory_id IS 'The memory that the hashes are of; it is the key of the row.';

COMMENT ON COLUMN memory_checksums.structure_hash IS 'The hash of the memory''s form.';

COMMENT ON COLUMN memory_checksums.semantic_hash IS 'The hash of the memory''s meaning.';

COMMENT ON COLUMN memory_checksums.inserted_at IS 'When the row was made.';

COMMENT ON COLUMN memory_checksums.updated_at IS 'When an application last changed the row; a plain UPDATE leaves it as it was.';

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

COMMENT ON COLUMN memory_versions.id IS 'The key of the row. The client makes it, and PostgreSQL where a client sends none.';

COMMENT ON COLUMN memory_versions.memory_id IS 'The memory whose content this version is; deleting the memory deletes its versions.';

COMMENT ON COLUMN memory_versions.content IS 'The content after the change.';

COMMENT ON COLUMN memory_versions.tags IS 'The tags after the change.';

COMMENT ON COLUMN memory_versions.metadata IS 'The metadata after the change.';

COMMENT ON COLUMN memory_versions.operation IS 'What was done to the memory.';

COMMENT ON COLUMN memory_versions.actor IS 'The person or program that made the change.';

COMMENT ON COLUMN memory_versions.reason IS 'Why the change was made, in free text.';

COMMENT ON COLUMN memory_versions.parent_version_id IS 'The version before this one; it has no foreign key and may name a row that does not exist.';

COMMENT ON COLUMN memory_versions.inserted_at IS 'When the row was made.';

COMMENT ON COLUMN memory_versions.updated_at IS 'When an application last changed the row; a plain UPDATE leaves it as it was.';

COMMENT ON COLUMN memory_versions.version_number IS 'Counts from 1 within a memory, in the order of the times; the database gives the next number to a version that comes without one or with one that is taken.';

CREATE TABLE messages (
    id character varying(255) NOT NULL,
    role character varying(255),
    content text,
    panel_id character varying(255),
    inserted_at timestamp(0) without time zone NOT NULL,
    updated_at timestamp(0) without time zone NOT NULL
);

COMMENT ON COLUMN messages.id IS 'The key of the row: text of the client''s choice, or a UUID where the client names none.';

COMMENT ON COLUMN messages.role IS 'The author''s part in the conversation; the Elixir code names no value.';

COMMENT ON COLUMN messages.content IS 'The text of the message.';

COMMENT ON COLUMN messages.panel_id IS 'The panel in which the message stands.';

COMMENT ON COLUMN messages.inserted_at IS 'When the row was made.';

COMMENT ON COLUMN messages.updated_at IS 'When an application last changed the row; a plain UPDATE leaves it as it was.';

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

COMMENT ON COLUMN organizations.id IS 'The key of the row. The client makes it, and PostgreSQL where a client sends none.';

COMMENT ON COLUMN organizations.name IS 'The name of the organization; the database does not keep it unique.';

COMMENT ON COLUMN organizations.tier IS 'What the organization has subscribed to; the editions are called community, team and enterprise.';

COMMENT ON COLUMN organizations.inserted_at IS 'When the row was made.';

COMMENT ON COLUMN organizations.updated_at IS 'When an application last changed the row; a plain UPDATE leaves it as it was.';

COMMENT ON COLUMN organizations.slug IS 'The name in addresses: lower-case letters, digits and hyphens. The database derives it from the name if a writer gives none, and appends a number if it is taken.';

COMMENT ON COLUMN organizations.custom_domain IS 'The organization''s own internet domain.';

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

COMMENT ON COLUMN orphan_review_logs.id IS 'The key of the row. The client makes it, and PostgreSQL where a client sends none.';

COMMENT ON COLUMN orphan_review_logs.session_id IS 'The session that ended without deciding about its operations; it has no foreign key, because the session may be gone.';

COMMENT ON COLUMN orphan_review_logs.context_id IS 'The context of the session; it has no foreign key, because the context may be gone.';

COMMENT ON COLUMN orphan_review_logs.action IS 'What was decided about the operations.';

COMMENT ON COLUMN orphan_review_logs.actor IS 'The person or program that made the operations.';

COMMENT ON COLUMN orphan_review_logs.reviewer_actor IS 'The person or program that decided.';

COMMENT ON COLUMN orphan_review_logs.operation_count IS 'How many operations were decided about. Unit: operations.';

COMMENT ON COLUMN orphan_review_logs.metadata IS 'Further facts about the decision as a JSON object.';

COMMENT ON COLUMN orphan_review_logs.inserted_at IS 'When the row was made.';

COMMENT ON COLUMN orphan_review_logs.updated_at IS 'When an application last changed the row; a plain UPDATE leaves it as it was.';

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

COMMENT ON COLUMN panels.id IS 'The key of the row: text of the client''s choice, or a UUID where the client names none.';

COMMENT ON COLUMN panels.provider IS 'The company or service that runs the model; the Elixir code names no value.';

COMMENT ON COLUMN panels.model IS 'The name of the language model.';

COMMENT ON COLUMN panels.preset_role IS 'The part that the model is told to play; the Elixir code names no value.';

COMMENT ON COLUMN panels."position" IS 'The place within the workspace, from 0; the database does not keep it unique. Unit: position.';

COMMENT ON COLUMN panels.workspace_id IS 'The workspace that shows the panel.';

COMMENT ON COLUMN panels.inserted_at IS 'When the row was made.';

COMMENT ON COLUMN panels.updated_at IS 'When an application last changed the row; a plain UPDATE leaves it as it was.';

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

COMMENT ON COLUMN plans.id IS 'The key of the row. The client makes it, and PostgreSQL where a client sends none.';

COMMENT ON COLUMN plans.context_id IS 'The context that the plan belongs to.';

COMMENT ON COLUMN plans.status IS 'The stage of the work.';

COMMENT ON COLUMN plans.completion_pct IS 'How much of the work is done; PostgreSQL keeps the range where no older row breaks it. Unit: percent, 0 to 100.';

COMMENT ON COLUMN plans.notes IS 'Remarks on the plan, in free text.';

COMMENT ON COLUMN plans.inserted_at IS 'When the row was made.';

COMMENT ON COLUMN plans.updated_at IS 'When an application last changed the row; a plain UPDATE leaves it as it was.';

CREATE TABLE secrets (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    key character varying(255) NOT NULL,
    value_encrypted bytea NOT NULL,
    inserted_at timestamp(0) without time zone NOT NULL,
    updated_at timestamp(0) without time zone NOT NULL
);

COMMENT ON COLUMN secrets.id IS 'The key of the row. The client makes it, and PostgreSQL where a client sends none.';

COMMENT ON COLUMN secrets.key IS 'The name of the secret; it is unique in the whole database.';

COMMENT ON COLUMN secrets.value_encrypted IS 'The encrypted value. Unit: bytes.';

COMMENT ON COLUMN secrets.inserted_at IS 'When the row was made.';

COMMENT ON COLUMN secrets.updated_at IS 'When an application last changed the row; a plain UPDATE leaves it as it was.';

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

COMMENT ON COLUMN sessions.id IS 'The key of the row. The client makes it, and PostgreSQL where a client sends none.';

COMMENT ON COLUMN sessions.context_id IS 'The context that was worked in.';

COMMENT ON COLUMN sessions.actor IS 'The person or program that worked; the Elixir model demands it.';

COMMENT ON COLUMN sessions.started_at IS 'When the work began; the Elixir model demands it.';

COMMENT ON COLUMN sessions.ended_at IS 'When the work ended; NULL while it goes on.';

COMMENT ON COLUMN sessions.summary IS 'What was done, in free text.';

COMMENT ON COLUMN sessions.metadata IS 'Further facts about the session as a JSON object.';

COMMENT ON COLUMN sessions.inserted_at IS 'When the row was made.';

COMMENT ON COLUMN sessions.updated_at IS 'When an application last changed the row; a plain UPDATE leaves it as it was.';

CREATE TABLE shortcut_aliases (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    alias_name character varying(255) NOT NULL,
    target_tool character varying(255) NOT NULL,
    args_schema character varying(255)[] DEFAULT ARRAY[]::character varying[],
    inserted_at timestamp(0) without time zone NOT NULL,
    updated_at timestamp(0) without time zone NOT NULL
);

COMMENT ON COLUMN shortcut_aliases.id IS 'The key of the row. The client makes it, and PostgreSQL where a client sends none.';

COMMENT ON COLUMN shortcut_aliases.alias_name IS 'The short name; it is unique in the whole database.';

COMMENT ON COLUMN shortcut_aliases.target_tool IS 'The tool that the short name calls.';

COMMENT ON COLUMN shortcut_aliases.args_schema IS 'The names of the tool''s arguments, in order.';

COMMENT ON COLUMN shortcut_aliases.inserted_at IS 'When the row was made.';

COMMENT ON COLUMN shortcut_aliases.updated_at IS 'When an application last changed the row; a plain UPDATE leaves it as it was.';

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

COMMENT ON COLUMN sync_queue.id IS 'The key of the row. The client makes it, and PostgreSQL where a client sends none.';

COMMENT ON COLUMN sync_queue.type IS 'What the payload is; the agent''s worker crashes on any other word.';

COMMENT ON COLUMN sync_queue.payload IS 'The row to be sent, as a JSON object.';

COMMENT ON COLUMN sync_queue.status IS 'How far the transfer is; no known program writes processing.';

COMMENT ON COLUMN sync_queue.priority IS 'The order of transfer: the greatest number goes first. Unit: rank.';

COMMENT ON COLUMN sync_queue.attempts IS 'How often the transfer was tried. Unit: attempts.';

COMMENT ON COLUMN sync_queue.last_error IS 'What went wrong at the last attempt, in free text.';

COMMENT ON COLUMN sync_queue.scheduled_at IS 'The earliest time of the next attempt; a row without one is never sent.';

COMMENT ON COLUMN sync_queue.inserted_at IS 'When the row was made.';

COMMENT ON COLUMN sync_queue.updated_at IS 'When an application last changed the row; a plain UPDATE leaves it as it was.';

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
    phi_flag boolean,
    merkle_root character varying(255),
    audit_hash character varying(255),
    degradation_tier character varying(255) DEFAULT 'online'::character varying
);

COMMENT ON COLUMN tala_operations.id IS 'The key of the row. The client makes it, and PostgreSQL where a client sends none.';

COMMENT ON COLUMN tala_operations.session_id IS 'The session whose operation waits; it has no foreign key, and a database before head can hold any text.';

COMMENT ON COLUMN tala_operations.context_id IS 'The context that the operation concerns; it has no foreign key, and a database before head can hold any text.';

COMMENT ON COLUMN tala_operations.tool_name IS 'The tool that was called.';

COMMENT ON COLUMN tala_operations.params IS 'The arguments of the call as a JSON object.';

COMMENT ON COLUMN tala_operations.actor IS 'The person or program that called the tool.';

COMMENT ON COLUMN tala_operations.status IS 'What became of the operation; the agent deletes discarded rows instead of marking them.';

COMMENT ON COLUMN tala_operations.inserted_at IS 'When the row was made.';

COMMENT ON COLUMN tala_operations.capability_token IS 'The token that permits the call.';

COMMENT ON COLUMN tala_operations.phi_flag IS 'Whether the call carries protected health data. Older rows may hold a default that no writer gave.';

COMMENT ON COLUMN tala_operations.merkle_root IS 'The root of the hash tree that the operation is part of.';

COMMENT ON COLUMN tala_operations.audit_hash IS 'The hash of the operation for the audit; the database does not tie it to the row.';

COMMENT ON COLUMN tala_operations.degradation_tier IS 'How much of the system was available at the call. Older rows may hold a default that no writer gave.';

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

COMMENT ON COLUMN tasks.id IS 'The key of the row. The client makes it, and PostgreSQL where a client sends none.';

COMMENT ON COLUMN tasks.context_id IS 'The context that the task belongs to.';

COMMENT ON COLUMN tasks.title IS 'What is to be done, in a few words.';

COMMENT ON COLUMN tasks.description IS 'What is to be done, in detail.';

COMMENT ON COLUMN tasks.priority IS 'How urgent the task is, capitalised, unlike the priority of a memory.';

COMMENT ON COLUMN tasks.status IS 'Whether the task is done.';

COMMENT ON COLUMN tasks.inserted_at IS 'When the row was made.';

COMMENT ON COLUMN tasks.updated_at IS 'When an application last changed the row; a plain UPDATE leaves it as it was.';

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

COMMENT ON COLUMN usage_records.id IS 'The key of the row. The client makes it, and PostgreSQL where a client sends none.';

COMMENT ON COLUMN usage_records.context_id IS 'The context that the call was made for; NULL if that has been deleted.';

COMMENT ON COLUMN usage_records.provider IS 'The company or service that was paid.';

COMMENT ON COLUMN usage_records.model IS 'The name of the model that was called.';

COMMENT ON COLUMN usage_records.operation IS 'What the model was asked to do.';

COMMENT ON COLUMN usage_records.tokens_input IS 'How much was sent to the model. Unit: tokens.';

COMMENT ON COLUMN usage_records.tokens_output IS 'How much the model answered. Unit: tokens.';

COMMENT ON COLUMN usage_records.total_tokens IS 'Input and output together; the writer computes it, and PostgreSQL refuses another number where no older row has one. Unit: tokens.';

COMMENT ON COLUMN usage_records.cost_estimate IS 'The estimated price of the call, with six decimal places. Unit: money; the Elixir code names no currency.';

COMMENT ON COLUMN usage_records.duration_ms IS 'How long the call took. Unit: milliseconds.';

COMMENT ON COLUMN usage_records.inserted_at IS 'When the row was made.';

COMMENT ON COLUMN usage_records.updated_at IS 'When an application last changed the row; a plain UPDATE leaves it as it was.';

COMMENT ON COLUMN usage_records.organization_id IS 'The organization that the context belonged to when the call was made. It has no foreign key, because the organization may be gone; the database fills it from the context.';

CREATE TABLE workspaces (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    name character varying(255) NOT NULL,
    layout_type character varying(255) DEFAULT 'single'::character varying,
    ide_panel_order character varying(255)[] DEFAULT ARRAY['explorer'::character varying, 'chat'::character varying, 'code'::character varying],
    inserted_at timestamp(0) without time zone NOT NULL,
    updated_at timestamp(0) without time zone NOT NULL
);

COMMENT ON COLUMN workspaces.id IS 'The key of the row. The client makes it, and PostgreSQL where a client sends none.';

COMMENT ON COLUMN workspaces.name IS 'The name of the arrangement.';

COMMENT ON COLUMN workspaces.layout_type IS 'How the panels are laid out.';

COMMENT ON COLUMN workspaces.ide_panel_order IS 'The names of the editor''s panels, from first to last.';

COMMENT ON COLUMN workspaces.inserted_at IS 'When the row was made.';

COMMENT ON COLUMN workspaces.updated_at IS 'When an application last changed the row; a plain UPDATE leaves it as it was.';

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

CREATE INDEX memories_children_index ON memories USING btree (parent_id) WHERE (parent_id IS NOT NULL);

CREATE INDEX memories_content_index ON memories USING hash (content);

CREATE INDEX memories_context_id_index ON memories USING btree (context_id);

CREATE INDEX memories_context_live_index ON memories USING btree (context_id, arrived_at, id) WHERE (deleted_at IS NULL);

CREATE INDEX memories_context_type_index ON memories USING btree (context_id, substr((metadata ->> 'type'::text), 1, 255), arrived_at, id) WHERE (deleted_at IS NULL);

CREATE INDEX memories_embedded_index ON memories USING btree (context_id) WHERE ((deleted_at IS NULL) AND (embedding IS NOT NULL));

CREATE INDEX memories_expiring_index ON memories USING btree (expires_at) WHERE ((deleted_at IS NULL) AND (expires_at IS NOT NULL));

CREATE INDEX memories_live_index ON memories USING btree (arrived_at, id) WHERE (deleted_at IS NULL);

CREATE INDEX memories_organization_id_index ON memories USING btree (organization_id);

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

ALTER TABLE memory_versions ENABLE ALWAYS TRIGGER memory_versions_version_number_filled;

CREATE TRIGGER organizations_slug_filled BEFORE INSERT OR UPDATE OF slug ON organizations FOR EACH ROW EXECUTE FUNCTION diwa_schema_organizations_slug();

ALTER TABLE organizations ENABLE ALWAYS TRIGGER organizations_slug_filled;

CREATE TRIGGER tsvectorupdate BEFORE INSERT OR UPDATE OF content ON memories FOR EACH ROW EXECUTE FUNCTION tsvector_update_trigger('tsv_content', 'pg_catalog.english', 'content');

CREATE TRIGGER usage_records_organization_id_filled BEFORE INSERT ON usage_records FOR EACH ROW WHEN (((new.organization_id IS NULL) AND (new.context_id IS NOT NULL))) EXECUTE FUNCTION diwa_schema_usage_records_organization_id();

ALTER TABLE usage_records ENABLE ALWAYS TRIGGER usage_records_organization_id_filled;

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
