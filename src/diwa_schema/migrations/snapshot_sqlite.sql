CREATE TABLE organizations (
	id TEXT DEFAULT NULL, 
	name TEXT NOT NULL, 
	tier TEXT DEFAULT 'free', 
	inserted_at TEXT NOT NULL, 
	updated_at TEXT NOT NULL, slug TEXT, custom_domain TEXT, 
	CONSTRAINT organizations_pkey PRIMARY KEY (id)
);
CREATE TABLE contexts (
	id TEXT DEFAULT NULL, 
	organization_id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	description TEXT, 
	health_score INTEGER DEFAULT 100, 
	inserted_at TEXT NOT NULL, 
	updated_at TEXT NOT NULL, conflict_domain TEXT DEFAULT 'general', conflict_safety_level TEXT DEFAULT 'standard', conflict_base_threshold NUMERIC DEFAULT (0.85), conflict_auto_calibrate INTEGER DEFAULT true, sync_origin TEXT DEFAULT 'cloud', remote_id TEXT, 
	CONSTRAINT contexts_pkey PRIMARY KEY (id), 
	CONSTRAINT contexts_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organizations (id) ON DELETE CASCADE
);
CREATE INDEX contexts_name_index ON contexts (name);
CREATE INDEX contexts_organization_id_index ON contexts (organization_id);
CREATE TABLE memories (
	id TEXT DEFAULT NULL, 
	context_id TEXT NOT NULL, 
	content TEXT NOT NULL, 
	metadata TEXT DEFAULT '{}' NOT NULL, 
	actor TEXT, 
	project TEXT, 
	tags TEXT, 
	parent_id TEXT, 
	external_ref TEXT, 
	severity TEXT, 
	inserted_at TEXT NOT NULL, 
	updated_at TEXT NOT NULL, deleted_at TEXT, embedding BLOB, memory_class TEXT, priority TEXT, lifecycle TEXT, confidence NUMERIC, source TEXT, occurrence_count INTEGER DEFAULT 1, last_accessed_at TEXT, expires_at TEXT, sync_origin TEXT DEFAULT 'cloud', remote_id TEXT, arrived_at TEXT, organization_id TEXT, 
	CONSTRAINT memories_pkey PRIMARY KEY (id), 
	CONSTRAINT memories_context_id_fkey FOREIGN KEY(context_id) REFERENCES contexts (id) ON DELETE CASCADE, 
	CONSTRAINT memories_parent_id_fkey FOREIGN KEY(parent_id) REFERENCES memories (id) ON DELETE SET NULL
);
CREATE INDEX memories_context_id_index ON memories (context_id);
CREATE INDEX memories_tags_index ON memories (tags);
CREATE TABLE plans (
	id TEXT, 
	context_id TEXT NOT NULL, 
	status TEXT NOT NULL, 
	completion_pct INTEGER DEFAULT 0, 
	notes TEXT, 
	inserted_at TEXT NOT NULL, 
	updated_at TEXT NOT NULL, 
	CONSTRAINT plans_pkey PRIMARY KEY (id), 
	CONSTRAINT plans_context_id_fkey FOREIGN KEY(context_id) REFERENCES contexts (id) ON DELETE CASCADE
);
CREATE INDEX plans_context_id_index ON plans (context_id);
CREATE TABLE tasks (
	id TEXT, 
	context_id TEXT NOT NULL, 
	title TEXT NOT NULL, 
	description TEXT, 
	priority TEXT DEFAULT 'Medium', 
	status TEXT DEFAULT 'pending', 
	inserted_at TEXT NOT NULL, 
	updated_at TEXT NOT NULL, 
	CONSTRAINT tasks_pkey PRIMARY KEY (id), 
	CONSTRAINT tasks_context_id_fkey FOREIGN KEY(context_id) REFERENCES contexts (id) ON DELETE CASCADE
);
CREATE INDEX tasks_context_id_index ON tasks (context_id);
CREATE INDEX tasks_status_index ON tasks (status);
CREATE TABLE memory_versions (
	id TEXT DEFAULT NULL, 
	memory_id TEXT NOT NULL, 
	content TEXT NOT NULL, 
	tags TEXT DEFAULT '[]', 
	metadata TEXT DEFAULT '{}', 
	operation TEXT NOT NULL, 
	actor TEXT, 
	reason TEXT, 
	parent_version_id TEXT, 
	inserted_at TEXT NOT NULL, 
	updated_at TEXT NOT NULL, version_number INTEGER, 
	CONSTRAINT memory_versions_pkey PRIMARY KEY (id), 
	CONSTRAINT memory_versions_memory_id_fkey FOREIGN KEY(memory_id) REFERENCES memories (id) ON DELETE CASCADE
);
CREATE INDEX memory_versions_inserted_at_index ON memory_versions (inserted_at);
CREATE INDEX memory_versions_memory_id_index ON memory_versions (memory_id);
CREATE TABLE conflict_performance (
	id TEXT, 
	context_id TEXT NOT NULL, 
	resolutions TEXT DEFAULT '[]', 
	false_positive_count INTEGER DEFAULT 0, 
	false_negative_count INTEGER DEFAULT 0, 
	total_count INTEGER DEFAULT 0, 
	window_size INTEGER DEFAULT 100, 
	inserted_at TEXT NOT NULL, 
	updated_at TEXT NOT NULL, 
	CONSTRAINT conflict_performance_pkey PRIMARY KEY (id), 
	CONSTRAINT conflict_performance_context_id_fkey FOREIGN KEY(context_id) REFERENCES contexts (id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX conflict_performance_context_id_index ON conflict_performance (context_id);
CREATE INDEX conflict_performance_updated_at_index ON conflict_performance (updated_at);
CREATE TABLE conflict_resolution_outcomes (
	id TEXT, 
	context_id TEXT NOT NULL, 
	conflict_id TEXT NOT NULL, 
	resolution_id TEXT, 
	threshold_used NUMERIC, 
	outcome TEXT, 
	feedback_score NUMERIC, 
	inserted_at TEXT NOT NULL, 
	updated_at TEXT NOT NULL, 
	CONSTRAINT conflict_resolution_outcomes_pkey PRIMARY KEY (id), 
	CONSTRAINT conflict_resolution_outcomes_context_id_fkey FOREIGN KEY(context_id) REFERENCES contexts (id) ON DELETE CASCADE
);
CREATE INDEX conflict_resolution_outcomes_conflict_id_index ON conflict_resolution_outcomes (conflict_id);
CREATE INDEX conflict_resolution_outcomes_context_id_index ON conflict_resolution_outcomes (context_id);
CREATE TABLE hitl_escalations (
	id TEXT, 
	context_id TEXT NOT NULL, 
	conflict_id TEXT NOT NULL, 
	status TEXT DEFAULT 'pending', 
	assigned_to TEXT, 
	resolution_notes TEXT, 
	inserted_at TEXT NOT NULL, 
	updated_at TEXT NOT NULL, "memory_a_id" TEXT CONSTRAINT "hitl_escalations_memory_a_id_fkey" REFERENCES "memories" (id) ON DELETE SET NULL, "memory_b_id" TEXT CONSTRAINT "hitl_escalations_memory_b_id_fkey" REFERENCES "memories" (id) ON DELETE SET NULL, score NUMERIC, 
	CONSTRAINT hitl_escalations_pkey PRIMARY KEY (id), 
	CONSTRAINT hitl_escalations_context_id_fkey FOREIGN KEY(context_id) REFERENCES contexts (id) ON DELETE CASCADE
);
CREATE INDEX hitl_escalations_context_id_status_index ON hitl_escalations (context_id, status);
CREATE TABLE memory_checksums (
	memory_id TEXT, 
	structure_hash TEXT, 
	semantic_hash TEXT, 
	inserted_at TEXT NOT NULL, 
	updated_at TEXT NOT NULL, 
	CONSTRAINT memory_checksums_pkey PRIMARY KEY (memory_id), 
	CONSTRAINT memory_checksums_memory_id_fkey FOREIGN KEY(memory_id) REFERENCES memories (id) ON DELETE CASCADE
);
CREATE TABLE embedding_cache (
	id TEXT, 
	hash TEXT NOT NULL, 
	model TEXT NOT NULL, 
	expires_at TEXT, 
	inserted_at TEXT NOT NULL, 
	updated_at TEXT NOT NULL, embedding BLOB, 
	CONSTRAINT embedding_cache_pkey PRIMARY KEY (id)
);
CREATE UNIQUE INDEX embedding_cache_hash_model_index ON embedding_cache (hash, model);
CREATE INDEX hitl_escalations_memory_a_id_index ON hitl_escalations (memory_a_id);
CREATE INDEX hitl_escalations_memory_b_id_index ON hitl_escalations (memory_b_id);
CREATE TABLE secrets (
	id TEXT, 
	"key" TEXT NOT NULL, 
	value_encrypted BLOB NOT NULL, 
	inserted_at TEXT NOT NULL, 
	updated_at TEXT NOT NULL, 
	CONSTRAINT secrets_pkey PRIMARY KEY (id)
);
CREATE UNIQUE INDEX secrets_key_index ON secrets ("key");
CREATE TABLE context_registry (
	id TEXT, 
	name TEXT NOT NULL, 
	context_id TEXT, 
	platform_ref TEXT DEFAULT '{}', 
	inserted_at TEXT NOT NULL, 
	updated_at TEXT NOT NULL, 
	CONSTRAINT context_registry_pkey PRIMARY KEY (id), 
	CONSTRAINT context_registry_context_id_fkey FOREIGN KEY(context_id) REFERENCES contexts (id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX context_registry_name_index ON context_registry (name);
CREATE TABLE context_commits (
	id TEXT, 
	context_id TEXT, 
	hash TEXT NOT NULL, 
	parent_hash TEXT, 
	platform TEXT NOT NULL, 
	message TEXT, 
	inserted_at TEXT NOT NULL, 
	updated_at TEXT NOT NULL, signature TEXT, signer_pubkey TEXT, 
	CONSTRAINT context_commits_pkey PRIMARY KEY (id), 
	CONSTRAINT context_commits_context_id_fkey FOREIGN KEY(context_id) REFERENCES contexts (id) ON DELETE CASCADE
);
CREATE INDEX context_commits_context_id_index ON context_commits (context_id);
CREATE INDEX context_commits_hash_index ON context_commits (hash);
CREATE TABLE shortcut_aliases (
	id TEXT, 
	alias_name TEXT NOT NULL, 
	target_tool TEXT NOT NULL, 
	args_schema TEXT DEFAULT '[]', 
	inserted_at TEXT NOT NULL, 
	updated_at TEXT NOT NULL, 
	CONSTRAINT shortcut_aliases_pkey PRIMARY KEY (id)
);
CREATE UNIQUE INDEX shortcut_aliases_alias_name_index ON shortcut_aliases (alias_name);
CREATE TABLE sessions (
	id TEXT, 
	context_id TEXT NOT NULL, 
	actor TEXT, 
	started_at TEXT, 
	ended_at TEXT, 
	summary TEXT, 
	metadata TEXT DEFAULT '{}', 
	inserted_at TEXT NOT NULL, 
	updated_at TEXT NOT NULL, 
	CONSTRAINT sessions_pkey PRIMARY KEY (id), 
	CONSTRAINT sessions_context_id_fkey FOREIGN KEY(context_id) REFERENCES contexts (id) ON DELETE CASCADE
);
CREATE INDEX sessions_actor_index ON sessions (actor);
CREATE INDEX sessions_context_id_index ON sessions (context_id);
CREATE TABLE ingest_jobs (
	id TEXT, 
	context_id TEXT NOT NULL, 
	status TEXT, 
	source_type TEXT, 
	source_path TEXT, 
	stats TEXT DEFAULT '{}', 
	metadata TEXT DEFAULT '{}', 
	inserted_at TEXT NOT NULL, 
	updated_at TEXT NOT NULL, 
	CONSTRAINT ingest_jobs_pkey PRIMARY KEY (id), 
	CONSTRAINT ingest_jobs_context_id_fkey FOREIGN KEY(context_id) REFERENCES contexts (id) ON DELETE CASCADE
);
CREATE INDEX ingest_jobs_context_id_index ON ingest_jobs (context_id);
CREATE INDEX ingest_jobs_status_index ON ingest_jobs (status);
CREATE TABLE context_bindings (
	id TEXT, 
	context_id TEXT NOT NULL, 
	binding_type TEXT NOT NULL, 
	value TEXT NOT NULL, 
	metadata TEXT DEFAULT '{}', 
	inserted_at TEXT NOT NULL, 
	updated_at TEXT NOT NULL, 
	CONSTRAINT context_bindings_pkey PRIMARY KEY (id), 
	CONSTRAINT context_bindings_context_id_fkey FOREIGN KEY(context_id) REFERENCES contexts (id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX context_bindings_context_id_binding_type_value_index ON context_bindings (context_id, binding_type, value);
CREATE TABLE context_relationships (
	id TEXT, 
	source_context_id TEXT NOT NULL, 
	target_context_id TEXT NOT NULL, 
	relationship_type TEXT NOT NULL, 
	metadata TEXT DEFAULT '{}', 
	inserted_at TEXT NOT NULL, 
	updated_at TEXT NOT NULL, 
	CONSTRAINT context_relationships_pkey PRIMARY KEY (id), 
	CONSTRAINT context_relationships_source_context_id_fkey FOREIGN KEY(source_context_id) REFERENCES contexts (id) ON DELETE CASCADE, 
	CONSTRAINT context_relationships_target_context_id_fkey FOREIGN KEY(target_context_id) REFERENCES contexts (id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX context_relationships_source_context_id_target_context_id_relationship_type_index ON context_relationships (source_context_id, target_context_id, relationship_type);
CREATE INDEX context_relationships_target_context_id_index ON context_relationships (target_context_id);
CREATE TABLE agents (
	id TEXT, 
	name TEXT NOT NULL, 
	role TEXT NOT NULL, 
	capabilities TEXT, 
	status TEXT DEFAULT 'active', 
	context_id TEXT, 
	inserted_at TEXT NOT NULL, 
	updated_at TEXT NOT NULL, 
	CONSTRAINT agents_pkey PRIMARY KEY (id), 
	CONSTRAINT agents_context_id_fkey FOREIGN KEY(context_id) REFERENCES contexts (id) ON DELETE CASCADE
);
CREATE INDEX agents_context_id_index ON agents (context_id);
CREATE INDEX agents_role_index ON agents (role);
CREATE INDEX agents_status_index ON agents (status);
CREATE TABLE delegations (
	id TEXT, 
	task_definition TEXT NOT NULL, 
	status TEXT DEFAULT 'pending', 
	result_summary TEXT, 
	artifacts TEXT, 
	constraints TEXT, 
	from_agent_id TEXT NOT NULL, 
	to_agent_id TEXT, 
	context_id TEXT NOT NULL, 
	inserted_at TEXT NOT NULL, 
	updated_at TEXT NOT NULL, 
	CONSTRAINT delegations_pkey PRIMARY KEY (id), 
	CONSTRAINT delegations_context_id_fkey FOREIGN KEY(context_id) REFERENCES contexts (id) ON DELETE CASCADE, 
	CONSTRAINT delegations_from_agent_id_fkey FOREIGN KEY(from_agent_id) REFERENCES agents (id) ON DELETE CASCADE, 
	CONSTRAINT delegations_to_agent_id_fkey FOREIGN KEY(to_agent_id) REFERENCES agents (id) ON DELETE CASCADE
);
CREATE INDEX delegations_context_id_index ON delegations (context_id);
CREATE INDEX delegations_from_agent_id_index ON delegations (from_agent_id);
CREATE INDEX delegations_status_index ON delegations (status);
CREATE INDEX delegations_to_agent_id_index ON delegations (to_agent_id);
CREATE TABLE api_keys (
	id TEXT, 
	name TEXT NOT NULL, 
	key_hash TEXT NOT NULL, 
	key_prefix TEXT NOT NULL, 
	organization_id TEXT NOT NULL, 
	status TEXT DEFAULT 'active', 
	last_used_at TEXT, 
	expires_at TEXT, 
	inserted_at TEXT NOT NULL, 
	updated_at TEXT NOT NULL, 
	CONSTRAINT api_keys_pkey PRIMARY KEY (id), 
	CONSTRAINT api_keys_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organizations (id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX api_keys_key_hash_index ON api_keys (key_hash);
CREATE INDEX api_keys_key_prefix_index ON api_keys (key_prefix);
CREATE INDEX api_keys_organization_id_index ON api_keys (organization_id);
CREATE TABLE sync_queue (
	id TEXT, 
	type TEXT NOT NULL, 
	payload TEXT NOT NULL, 
	status TEXT DEFAULT 'pending', 
	priority INTEGER DEFAULT 0, 
	attempts INTEGER DEFAULT 0, 
	last_error TEXT, 
	scheduled_at TEXT, 
	inserted_at TEXT NOT NULL, 
	updated_at TEXT NOT NULL, 
	CONSTRAINT sync_queue_pkey PRIMARY KEY (id)
);
CREATE INDEX sync_queue_status_priority_scheduled_at_index ON sync_queue (status, priority, scheduled_at);
CREATE INDEX contexts_sync_origin_index ON contexts (sync_origin);
CREATE TABLE tala_operations (
	id TEXT, 
	session_id TEXT, 
	context_id TEXT, 
	tool_name TEXT, 
	params TEXT, 
	actor TEXT, 
	status TEXT DEFAULT 'pending', 
	inserted_at TEXT NOT NULL, capability_token TEXT, phi_flag INTEGER DEFAULT false, merkle_root TEXT, audit_hash TEXT, degradation_tier TEXT DEFAULT 'online', 
	CONSTRAINT tala_operations_pkey PRIMARY KEY (id)
);
CREATE INDEX tala_operations_session_id_index ON tala_operations (session_id);
CREATE INDEX tala_operations_status_index ON tala_operations (status);
CREATE TABLE workspaces (
	id TEXT, 
	name TEXT NOT NULL, 
	layout_type TEXT DEFAULT 'single', 
	ide_panel_order TEXT DEFAULT '["explorer","chat","code"]', 
	inserted_at TEXT NOT NULL, 
	updated_at TEXT NOT NULL, 
	CONSTRAINT workspaces_pkey PRIMARY KEY (id)
);
CREATE INDEX workspaces_name_index ON workspaces (name);
CREATE TABLE panels (
	id TEXT, 
	provider TEXT NOT NULL, 
	model TEXT, 
	preset_role TEXT, 
	position INTEGER, 
	workspace_id TEXT, 
	inserted_at TEXT NOT NULL, 
	updated_at TEXT NOT NULL, 
	CONSTRAINT panels_pkey PRIMARY KEY (id), 
	CONSTRAINT panels_workspace_id_fkey FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
);
CREATE INDEX panels_workspace_id_position_index ON panels (workspace_id, position);
CREATE TABLE messages (
	id TEXT, 
	role TEXT, 
	content TEXT, 
	panel_id TEXT, 
	inserted_at TEXT NOT NULL, 
	updated_at TEXT NOT NULL, 
	CONSTRAINT messages_pkey PRIMARY KEY (id), 
	CONSTRAINT messages_panel_id_fkey FOREIGN KEY(panel_id) REFERENCES panels (id) ON DELETE CASCADE
);
CREATE INDEX messages_inserted_at_index ON messages (inserted_at);
CREATE INDEX messages_panel_id_index ON messages (panel_id);
CREATE TABLE checkpoints (
	id TEXT, 
	session_id TEXT NOT NULL, 
	sequence_number INTEGER NOT NULL, 
	buffer_snapshot JSONB NOT NULL, 
	operation_count INTEGER NOT NULL, 
	byte_size INTEGER NOT NULL, 
	checksum TEXT NOT NULL, 
	created_at TEXT NOT NULL, 
	CONSTRAINT checkpoints_pkey PRIMARY KEY (id), 
	CONSTRAINT checkpoints_session_id_fkey FOREIGN KEY(session_id) REFERENCES sessions (id) ON DELETE CASCADE
);
CREATE INDEX checkpoints_created_at_index ON checkpoints (created_at);
CREATE UNIQUE INDEX checkpoints_session_id_sequence_number_index ON checkpoints (session_id, sequence_number);
CREATE TABLE orphan_review_logs (
	id TEXT, 
	session_id TEXT NOT NULL, 
	context_id TEXT NOT NULL, 
	action TEXT NOT NULL, 
	actor TEXT NOT NULL, 
	reviewer_actor TEXT NOT NULL, 
	operation_count INTEGER DEFAULT 0, 
	metadata JSONB DEFAULT '{}', 
	inserted_at TEXT NOT NULL, 
	updated_at TEXT NOT NULL, 
	CONSTRAINT orphan_review_logs_pkey PRIMARY KEY (id)
);
CREATE INDEX orphan_review_logs_action_index ON orphan_review_logs (action);
CREATE INDEX orphan_review_logs_context_id_index ON orphan_review_logs (context_id);
CREATE INDEX orphan_review_logs_session_id_index ON orphan_review_logs (session_id);
CREATE INDEX tala_operations_audit_hash_index ON tala_operations (audit_hash);
CREATE UNIQUE INDEX organizations_custom_domain_index ON organizations (custom_domain);
CREATE UNIQUE INDEX organizations_slug_index ON organizations (slug);
CREATE TABLE idempotency_log (
	id TEXT DEFAULT NULL, 
	context_id TEXT NOT NULL, 
	client_id TEXT NOT NULL, 
	tool_name TEXT NOT NULL, 
	result_id TEXT, 
	status TEXT NOT NULL, 
	error_reason TEXT, 
	processed_at TEXT DEFAULT CURRENT_TIMESTAMP NOT NULL, 
	CONSTRAINT idempotency_log_pkey PRIMARY KEY (id), 
	CONSTRAINT idempotency_log_context_id_fkey FOREIGN KEY(context_id) REFERENCES contexts (id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX idempotency_log_context_id_client_id_index ON idempotency_log (context_id, client_id);
CREATE INDEX idempotency_log_processed_at_index ON idempotency_log (processed_at);
CREATE TABLE diwa_schema_embedding_archive (
	table_name TEXT NOT NULL, 
	row_id TEXT NOT NULL, 
	digest TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	value BLOB NOT NULL, 
	reason TEXT NOT NULL, 
	archived_at TEXT NOT NULL, 
	CONSTRAINT diwa_schema_embedding_archive_pkey PRIMARY KEY (table_name, row_id, digest)
);
CREATE TABLE diwa_schema_kept_values (
	table_name TEXT NOT NULL, 
	row_id TEXT NOT NULL, 
	column_name TEXT NOT NULL, 
	value TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	kept_at TEXT NOT NULL, 
	CONSTRAINT diwa_schema_kept_values_pkey PRIMARY KEY (table_name, row_id, column_name)
);
CREATE INDEX tala_operations_context_id_index ON tala_operations (context_id);
CREATE INDEX context_registry_context_id_index ON context_registry (context_id);
CREATE TRIGGER "memories_arrived_at_filled" AFTER INSERT ON "memories" WHEN NEW."arrived_at" IS NULL BEGIN UPDATE "memories" SET "arrived_at" = NEW."inserted_at" WHERE rowid = NEW.rowid; END;
CREATE INDEX memories_expiring_index ON memories (expires_at) WHERE deleted_at IS NULL AND expires_at IS NOT NULL;
CREATE INDEX memories_rules_index ON memories (context_id, memory_class) WHERE deleted_at IS NULL AND memory_class IN ('user_rule', 'system_instruction');
CREATE INDEX context_bindings_lookup_index ON context_bindings (binding_type, value, inserted_at, id);
CREATE INDEX memories_context_live_index ON memories (context_id, arrived_at, id) WHERE deleted_at IS NULL;
CREATE INDEX memories_live_index ON memories (arrived_at, id) WHERE deleted_at IS NULL;
CREATE INDEX memories_children_index ON memories (parent_id) WHERE parent_id IS NOT NULL;
CREATE TRIGGER "memory_versions_version_number_filled" AFTER INSERT ON "memory_versions" WHEN NEW.version_number IS NULL OR EXISTS (SELECT 1 FROM memory_versions WHERE memory_id = NEW.memory_id AND version_number = NEW.version_number AND rowid <> NEW.rowid) BEGIN UPDATE "memory_versions" SET "version_number" = (SELECT coalesce(max(version_number), 0) + 1 FROM memory_versions WHERE memory_id = NEW.memory_id AND rowid <> NEW.rowid) WHERE rowid = NEW.rowid; END;
CREATE TABLE "usage_records" (
	id TEXT, 
	context_id TEXT, 
	provider TEXT NOT NULL, 
	model TEXT NOT NULL, 
	operation TEXT NOT NULL, 
	tokens_input INTEGER DEFAULT 0, 
	tokens_output INTEGER DEFAULT 0, 
	total_tokens INTEGER DEFAULT 0, 
	cost_estimate DECIMAL(10,6), 
	duration_ms INTEGER, 
	inserted_at TEXT NOT NULL, 
	updated_at TEXT NOT NULL, 
	organization_id TEXT, 
	CONSTRAINT usage_records_pkey PRIMARY KEY (id), 
	CONSTRAINT usage_records_context_id_fkey FOREIGN KEY(context_id) REFERENCES contexts (id) ON DELETE SET NULL
);
CREATE INDEX usage_records_context_id_index ON usage_records (context_id);
CREATE INDEX usage_records_inserted_at_index ON usage_records (inserted_at);
CREATE TRIGGER "usage_records_organization_id_filled" AFTER INSERT ON "usage_records" WHEN NEW.organization_id IS NULL AND NEW.context_id IS NOT NULL BEGIN UPDATE "usage_records" SET "organization_id" = (SELECT organization_id FROM contexts WHERE id = NEW.context_id) WHERE rowid = NEW.rowid; END;
CREATE INDEX usage_records_organization_id_inserted_at_index ON usage_records (organization_id, inserted_at);
CREATE TRIGGER "organizations_slug_filled" AFTER INSERT ON "organizations" WHEN NEW.slug IS NULL BEGIN UPDATE "organizations" SET "slug" = (WITH RECURSIVE
  spelled(rest, made) AS (
    SELECT lower(NEW.name), ''
    UNION ALL SELECT substr(rest, 2), made || CASE WHEN substr(rest, 1, 1) GLOB '[a-z0-9]' THEN substr(rest, 1, 1)
      WHEN made = '' OR made GLOB '*-' THEN '' ELSE '-' END FROM spelled WHERE rest <> ''),
  base(slug) AS (
    SELECT coalesce(nullif(rtrim(substr(made, 1, 200), '-'), ''), 'organization') FROM spelled WHERE rest = ''),
  tried(n, slug) AS (
    SELECT 1, slug FROM base
    UNION ALL SELECT n + 1, (SELECT slug FROM base) || '-' || CASE n WHEN 100 THEN lower(NEW.id) ELSE n + 1 END
      FROM tried WHERE n <= 100 AND EXISTS (
        SELECT 1 FROM organizations o WHERE o.slug = tried.slug AND o.rowid <> NEW.rowid))
  SELECT slug FROM tried ORDER BY n DESC LIMIT 1) WHERE rowid = NEW.rowid; END;
CREATE TRIGGER "organizations_slug_filled_again" AFTER UPDATE OF slug ON "organizations" WHEN NEW.slug IS NULL BEGIN UPDATE "organizations" SET "slug" = (WITH RECURSIVE
  spelled(rest, made) AS (
    SELECT lower(NEW.name), ''
    UNION ALL SELECT substr(rest, 2), made || CASE WHEN substr(rest, 1, 1) GLOB '[a-z0-9]' THEN substr(rest, 1, 1)
      WHEN made = '' OR made GLOB '*-' THEN '' ELSE '-' END FROM spelled WHERE rest <> ''),
  base(slug) AS (
    SELECT coalesce(nullif(rtrim(substr(made, 1, 200), '-'), ''), 'organization') FROM spelled WHERE rest = ''),
  tried(n, slug) AS (
    SELECT 1, slug FROM base
    UNION ALL SELECT n + 1, (SELECT slug FROM base) || '-' || CASE n WHEN 100 THEN lower(NEW.id) ELSE n + 1 END
      FROM tried WHERE n <= 100 AND EXISTS (
        SELECT 1 FROM organizations o WHERE o.slug = tried.slug AND o.rowid <> NEW.rowid))
  SELECT slug FROM tried ORDER BY n DESC LIMIT 1) WHERE rowid = NEW.rowid; END;
CREATE TRIGGER memories_organization_id_filled AFTER INSERT ON "memories" WHEN NEW.organization_id IS NULL BEGIN UPDATE "memories" SET organization_id = (SELECT organization_id FROM contexts WHERE id = NEW.context_id) WHERE rowid = NEW.rowid; END;
CREATE TRIGGER memories_organization_id_moved AFTER UPDATE OF context_id, organization_id ON "memories" WHEN (NEW.organization_id IS NULL AND EXISTS (SELECT 1 FROM contexts WHERE id = NEW.context_id AND organization_id IS NOT NULL)) OR (OLD.context_id IS NOT NEW.context_id AND OLD.organization_id IS NEW.organization_id) BEGIN UPDATE "memories" SET organization_id = (SELECT organization_id FROM contexts WHERE id = NEW.context_id) WHERE rowid = NEW.rowid; END;
CREATE TRIGGER memories_organization_id_refused BEFORE INSERT ON "memories" WHEN NEW.organization_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM contexts WHERE id = NEW.context_id AND organization_id = NEW.organization_id) BEGIN SELECT RAISE(ABORT, 'organization_id of memories is not that of the context'); END;
CREATE TRIGGER memories_organization_id_kept BEFORE UPDATE OF context_id, organization_id ON "memories" WHEN NOT (OLD.context_id IS NOT NEW.context_id AND OLD.organization_id IS NEW.organization_id) AND NEW.organization_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM contexts WHERE id = NEW.context_id AND organization_id = NEW.organization_id) BEGIN SELECT RAISE(ABORT, 'organization_id of memories is not that of the context'); END;
CREATE TRIGGER memories_organization_id_followed AFTER UPDATE OF organization_id ON contexts BEGIN UPDATE "memories" SET organization_id = NEW.organization_id WHERE context_id = NEW.id; END;
CREATE INDEX memories_organization_id_index ON memories (organization_id);
CREATE TABLE diwa_schema_word_keys (n INTEGER PRIMARY KEY, memory_id TEXT NOT NULL UNIQUE);
CREATE VIRTUAL TABLE diwa_schema_words USING fts5(content, tokenize='porter unicode61');
CREATE TRIGGER "memories_words_added" AFTER INSERT ON "memories" BEGIN DELETE FROM diwa_schema_words WHERE rowid = (SELECT n FROM diwa_schema_word_keys WHERE memory_id = NEW.id); DELETE FROM diwa_schema_word_keys WHERE memory_id = NEW.id; INSERT INTO diwa_schema_word_keys (memory_id) SELECT NEW.id WHERE NEW.id IS NOT NULL; INSERT INTO diwa_schema_words (rowid, content) SELECT n, NEW.content FROM diwa_schema_word_keys WHERE memory_id = NEW.id; END;
CREATE TRIGGER "memories_words_changed" AFTER UPDATE OF id, content ON "memories" BEGIN DELETE FROM diwa_schema_words WHERE rowid = (SELECT n FROM diwa_schema_word_keys WHERE memory_id = OLD.id); DELETE FROM diwa_schema_word_keys WHERE memory_id = OLD.id; DELETE FROM diwa_schema_words WHERE rowid = (SELECT n FROM diwa_schema_word_keys WHERE memory_id = NEW.id); DELETE FROM diwa_schema_word_keys WHERE memory_id = NEW.id; INSERT INTO diwa_schema_word_keys (memory_id) SELECT NEW.id WHERE NEW.id IS NOT NULL; INSERT INTO diwa_schema_words (rowid, content) SELECT n, NEW.content FROM diwa_schema_word_keys WHERE memory_id = NEW.id; END;
CREATE TRIGGER "memories_words_dropped" AFTER DELETE ON "memories" BEGIN DELETE FROM diwa_schema_words WHERE rowid = (SELECT n FROM diwa_schema_word_keys WHERE memory_id = OLD.id); DELETE FROM diwa_schema_word_keys WHERE memory_id = OLD.id; END;
