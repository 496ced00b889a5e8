"""Describe each column in the database itself, where psql and other tools show it.

Only the catalog changes: no row is read, and no reader or writer of rows waits. A comment that somebody else wrote on
a column stays. SQLite stores no comments. The downgrade removes the texts that nobody has changed.
"""

from diwa_schema.migrations import steps

revision = "20260309000000"
down_revision = "20260308000000"
branch_labels = None
depends_on = None

phase = "expand"
floor = None
transactional = False

TEXTS = {
    "agents": {
        "id": "The key of the row. The client makes it, and PostgreSQL where a client sends none.",
        "name": "The name of the program.",
        "role": "The part that the program plays; the lists in the Elixir code disagree.",
        "capabilities": (
            "What the program can do: a JSON list by convention, kept as text because some rows hold "
            "other text."
        ),
        "status": (
            "Whether the program is available; the default is in neither of the two lists in the Elixir code."
        ),
        "context_id": "The context that the program works in.",
        "inserted_at": "When the row was made.",
        "updated_at": "When an application last changed the row; a plain UPDATE leaves it as it was.",
    },
    "api_keys": {
        "id": "The key of the row. The client makes it, and PostgreSQL where a client sends none.",
        "name": "What the key is called, to tell it from others.",
        "key_hash": "The hash of the key; the key itself is kept nowhere.",
        "key_prefix": "The first characters of the key, to recognise it by.",
        "organization_id": "The organization that the key acts for.",
        "status": "Whether the key is accepted.",
        "last_used_at": "When the key was last used.",
        "expires_at": "When the key stops being accepted; NULL for never.",
        "inserted_at": "When the row was made.",
        "updated_at": "When an application last changed the row; a plain UPDATE leaves it as it was.",
    },
    "checkpoints": {
        "id": "The key of the row. The client makes it, and PostgreSQL where a client sends none.",
        "session_id": "The session whose operations are kept; deleting it deletes its checkpoints.",
        "sequence_number": "Counts the checkpoints of a session. Unit: position.",
        "buffer_snapshot": "The buffered operations as a JSON document, a list by convention.",
        "operation_count": "How many operations the snapshot holds. Unit: operations.",
        "byte_size": "The size of the snapshot. Unit: bytes.",
        "checksum": "The checksum of the snapshot, as 64 hexadecimal digits by convention.",
        "created_at": "When the row was made.",
    },
    "conflict_performance": {
        "id": "The key of the row. The client makes it, and PostgreSQL where a client sends none.",
        "context_id": "The context that is measured; each has at most one row.",
        "resolutions": (
            "The latest resolutions as a JSON document, a list of objects by convention; on SQLite Ecto"
            " leaves a list of texts that are JSON."
        ),
        "false_positive_count": "How often a reported conflict turned out to be none. Unit: conflicts.",
        "false_negative_count": "How often a conflict was overlooked. Unit: conflicts.",
        "total_count": "How many conflicts were decided. Unit: conflicts.",
        "window_size": "How many of the latest resolutions count. Unit: resolutions.",
        "inserted_at": "When the row was made.",
        "updated_at": "When an application last changed the row; a plain UPDATE leaves it as it was.",
    },
    "conflict_resolution_outcomes": {
        "id": "The key of the row. The client makes it, and PostgreSQL where a client sends none.",
        "context_id": "The context in which the conflict was found.",
        "conflict_id": "The conflict; no table holds conflicts.",
        "resolution_id": "The proposed resolution; no table holds resolutions.",
        "threshold_used": "The similarity from which the memories were compared. Unit: similarity, 0 to 1.",
        "outcome": "What became of the proposal.",
        "feedback_score": "How good people found the proposal; the Elixir code names no range. Unit: score.",
        "inserted_at": "When the row was made.",
        "updated_at": "When an application last changed the row; a plain UPDATE leaves it as it was.",
    },
    "context_bindings": {
        "id": "The key of the row. The client makes it, and PostgreSQL where a client sends none.",
        "context_id": "The context that the binding leads to.",
        "binding_type": "What kind of trace the value is.",
        "value": "The trace itself: a path, the address of a git remote or the value of a variable.",
        "metadata": "Further facts about the binding as a JSON object.",
        "inserted_at": "When the row was made.",
        "updated_at": "When an application last changed the row; a plain UPDATE leaves it as it was.",
    },
    "context_commits": {
        "id": "The key of the row. The client makes it, and PostgreSQL where a client sends none.",
        "context_id": "The context whose state was committed.",
        "hash": "The hash that identifies the commit; the database does not keep it unique.",
        "parent_hash": "The hash of the commit before this one; it has no foreign key.",
        "platform": "The platform on which the commit was made.",
        "message": "What the commit is about, in free text.",
        "inserted_at": "When the row was made.",
        "updated_at": "When an application last changed the row; a plain UPDATE leaves it as it was.",
        "signature": "The signature over the commit.",
        "signer_pubkey": "The public key that the signature is checked with; it identifies the signer.",
    },
    "context_registry": {
        "id": "The key of the row. The client makes it, and PostgreSQL where a client sends none.",
        "name": "The name under which the context is registered; it is unique in the whole database.",
        "context_id": "The context that the name stands for.",
        "platform_ref": "How other platforms refer to the context, as a JSON object.",
        "inserted_at": "When the row was made.",
        "updated_at": "When an application last changed the row; a plain UPDATE leaves it as it was.",
    },
    "context_relationships": {
        "id": "The key of the row. The client makes it, and PostgreSQL where a client sends none.",
        "source_context_id": "The context from which the link starts.",
        "target_context_id": "The context to which the link leads.",
        "relationship_type": (
            "What the link means; the lists in the Elixir code disagree, and only depends_on, child_of "
            "and contains have behaviour."
        ),
        "metadata": "Further facts about the link as a JSON object.",
        "inserted_at": "When the row was made.",
        "updated_at": "When an application last changed the row; a plain UPDATE leaves it as it was.",
    },
    "contexts": {
        "id": "The key of the row. The client makes it, and PostgreSQL where a client sends none.",
        "organization_id": "The organization that the context belongs to.",
        "name": "The name that people give the context; the database does not keep it unique.",
        "description": "What the context is about, in free text.",
        "health_score": (
            "How well the context is kept; the database does not keep the range. Unit: points, 0 to 100."
        ),
        "inserted_at": "When the row was made.",
        "updated_at": "When an application last changed the row; a plain UPDATE leaves it as it was.",
        "conflict_domain": "The field of knowledge that conflict detection assumes.",
        "conflict_safety_level": (
            "How careful conflict detection is; the agent's change log mentions levels 0 to 5."
        ),
        "conflict_base_threshold": (
            "The similarity from which two memories are compared for a conflict. Unit: similarity, 0 to 1."
        ),
        "conflict_auto_calibrate": "Whether outcomes of conflicts may adjust the threshold.",
        "sync_origin": (
            "The side on which the row was made. Older rows may hold a default that no writer gave."
        ),
        "remote_id": (
            "The id of the same context on the other side of a synchronisation; it has no foreign key."
        ),
    },
    "delegations": {
        "id": "The key of the row. The client makes it, and PostgreSQL where a client sends none.",
        "task_definition": "What is to be done, in free text.",
        "status": "How far the work is.",
        "result_summary": "What came of the work, in free text.",
        "artifacts": (
            "What the work produced: a JSON list by convention, kept as text because some rows hold "
            "other text."
        ),
        "constraints": (
            "What the work must respect: a JSON object by convention, kept as text because some rows "
            "hold other text."
        ),
        "from_agent_id": "The program that hands the work over; deleting it deletes the delegation.",
        "to_agent_id": (
            "The program that takes the work; NULL leaves it to any. Deleting it deletes the delegation."
        ),
        "context_id": "The context that the work belongs to.",
        "inserted_at": "When the row was made.",
        "updated_at": "When an application last changed the row; a plain UPDATE leaves it as it was.",
    },
    "embedding_cache": {
        "id": "The key of the row. The client makes it, and PostgreSQL where a client sends none.",
        "hash": "The hash of the text; the text itself is not kept.",
        "model": "The name of the embedding model.",
        "expires_at": "When the entry may be dropped; NULL for never.",
        "embedding": (
            "The position of the text in the model's space; a vector or bytes, depending on the "
            "database. Unit: 1536 numbers."
        ),
        "inserted_at": "When the row was made.",
        "updated_at": "When an application last changed the row; a plain UPDATE leaves it as it was.",
    },
    "hitl_escalations": {
        "id": "The key of the row. The client makes it, and PostgreSQL where a client sends none.",
        "context_id": "The context in which the conflict was found.",
        "conflict_id": "The conflict to be decided; no table holds conflicts.",
        "status": "Whether a person has decided.",
        "assigned_to": "The person who is to decide.",
        "resolution_notes": "How and why the person decided, in free text.",
        "inserted_at": "When the row was made.",
        "updated_at": "When an application last changed the row; a plain UPDATE leaves it as it was.",
        "memory_a_id": "The first of the two memories.",
        "memory_b_id": "The second of the two memories.",
        "score": "How much the two memories contradict each other. Unit: share, 0 to 1.",
    },
    "idempotency_log": {
        "id": "The key of the row. The client makes it, and PostgreSQL where a client sends none.",
        "context_id": "The context in which the call was made.",
        "client_id": "The name that the client gives the call; it is unique within a context.",
        "tool_name": "The tool that was called.",
        "result_id": "The id of the row that the call made; it has no foreign key.",
        "status": "How the call ended; the Elixir code names no value.",
        "error_reason": "Why the call failed, in free text.",
        "processed_at": (
            "When the call was answered: UTC from a client, the connection's local time from the "
            "default of PostgreSQL."
        ),
    },
    "ingest_jobs": {
        "id": "The key of the row. The client makes it, and PostgreSQL where a client sends none.",
        "context_id": "The context that takes the memories.",
        "status": "How far the import is; the agent does not write pending.",
        "source_type": (
            "What kind of source is read; the list of the Elixir model lacks the agent's filesystem."
        ),
        "source_path": "Where the source is; a path can contain the name of an account.",
        "stats": "The counts of the import as a JSON object.",
        "metadata": "Further facts about the import as a JSON object.",
        "inserted_at": "When the row was made.",
        "updated_at": "When an application last changed the row; a plain UPDATE leaves it as it was.",
    },
    "memories": {
        "id": "The key of the row. The client makes it, and PostgreSQL where a client sends none.",
        "context_id": "The context that the memory belongs to.",
        "content": "What is remembered, in free text.",
        "metadata": (
            "Further facts as a JSON document, an object by convention; its keys type, status and "
            "severity repeat or contradict columns."
        ),
        "actor": "The person or program that added the memory.",
        "project": "The name of the project that the memory comes from.",
        "tags": "Words to find the memory by; each has at most 255 characters.",
        "parent_id": "The memory that this one continues or refines.",
        "external_ref": "Where the memory comes from outside: a ticket, an address or a file.",
        "severity": (
            "How serious the matter is; the lists in the Elixir code disagree, and blockers keep theirs"
            " in the metadata."
        ),
        "inserted_at": "When the row was made.",
        "updated_at": "When an application last changed the row; a plain UPDATE leaves it as it was.",
        "tsv_content": (
            "The words of the content for full-text search in English; PostgreSQL only, read when asked for."
        ),
        "deleted_at": (
            "When the applications deleted the memory; the row stays, and NULL means that it is alive."
        ),
        "embedding": (
            "The position of the content in the space of an embedding model; a vector or bytes, "
            "depending on the database. Unit: 1536 numbers."
        ),
        "memory_class": "What kind of knowledge the memory is.",
        "priority": "How important the memory is, in lower case, unlike the priority of a task.",
        "lifecycle": (
            "How long the memory is meant to be kept; after ten uses the agent turns ephemeral into project."
        ),
        "confidence": "How certain the classification of the memory is. Unit: share, 0 to 1.",
        "source": "Where the memory came from: a tool, an import or a file.",
        "occurrence_count": (
            "How often the same thing was remembered. Unit: occurrences. Older rows may hold a default "
            "that no writer gave."
        ),
        "last_accessed_at": "When the memory was last used.",
        "expires_at": "When the memory loses its validity; the row is not deleted at that time.",
        "sync_origin": (
            "The side on which the row was made. Older rows may hold a default that no writer gave."
        ),
        "remote_id": (
            "The id of the same memory on the other side of a synchronisation; it has no foreign key."
        ),
        "arrived_at": (
            "When the database took the row in, which orders memories within a second; rows older than "
            "the column have the time at which they were made."
        ),
        "organization_id": (
            "The organization of the memory's context. The database fills it, changes it with the "
            "context's and refuses any other."
        ),
    },
    "memory_checksums": {
        "memory_id": "The memory that the hashes are of; it is the key of the row.",
        "structure_hash": "The hash of the memory's form.",
        "semantic_hash": "The hash of the memory's meaning.",
        "inserted_at": "When the row was made.",
        "updated_at": "When an application last changed the row; a plain UPDATE leaves it as it was.",
    },
    "memory_versions": {
        "id": "The key of the row. The client makes it, and PostgreSQL where a client sends none.",
        "memory_id": "The memory whose content this version is; deleting the memory deletes its versions.",
        "content": "The content after the change.",
        "tags": "The tags after the change.",
        "metadata": "The metadata after the change.",
        "operation": "What was done to the memory.",
        "actor": "The person or program that made the change.",
        "reason": "Why the change was made, in free text.",
        "parent_version_id": (
            "The version before this one; it has no foreign key and may name a row that does not exist."
        ),
        "inserted_at": "When the row was made.",
        "updated_at": "When an application last changed the row; a plain UPDATE leaves it as it was.",
        "version_number": (
            "Counts from 1 within a memory, in the order of the times; the database gives the next "
            "number to a version that comes without one or with one that is taken."
        ),
    },
    "messages": {
        "id": "The key of the row: text of the client's choice, or a UUID where the client names none.",
        "role": "The author's part in the conversation; the Elixir code names no value.",
        "content": "The text of the message.",
        "panel_id": "The panel in which the message stands.",
        "inserted_at": "When the row was made.",
        "updated_at": "When an application last changed the row; a plain UPDATE leaves it as it was.",
    },
    "organizations": {
        "id": "The key of the row. The client makes it, and PostgreSQL where a client sends none.",
        "name": "The name of the organization; the database does not keep it unique.",
        "tier": (
            "What the organization has subscribed to; the editions are called community, team and enterprise."
        ),
        "inserted_at": "When the row was made.",
        "updated_at": "When an application last changed the row; a plain UPDATE leaves it as it was.",
        "slug": (
            "The name in addresses: lower-case letters, digits and hyphens. The database derives it "
            "from the name if a writer gives none, and appends a number if it is taken."
        ),
        "custom_domain": "The organization's own internet domain.",
    },
    "orphan_review_logs": {
        "id": "The key of the row. The client makes it, and PostgreSQL where a client sends none.",
        "session_id": (
            "The session that ended without deciding about its operations; it has no foreign key, "
            "because the session may be gone."
        ),
        "context_id": "The context of the session; it has no foreign key, because the context may be gone.",
        "action": "What was decided about the operations.",
        "actor": "The person or program that made the operations.",
        "reviewer_actor": "The person or program that decided.",
        "operation_count": "How many operations were decided about. Unit: operations.",
        "metadata": "Further facts about the decision as a JSON object.",
        "inserted_at": "When the row was made.",
        "updated_at": "When an application last changed the row; a plain UPDATE leaves it as it was.",
    },
    "panels": {
        "id": "The key of the row: text of the client's choice, or a UUID where the client names none.",
        "provider": "The company or service that runs the model; the Elixir code names no value.",
        "model": "The name of the language model.",
        "preset_role": "The part that the model is told to play; the Elixir code names no value.",
        "position": (
            "The place within the workspace, from 0; the database does not keep it unique. Unit: position."
        ),
        "workspace_id": "The workspace that shows the panel.",
        "inserted_at": "When the row was made.",
        "updated_at": "When an application last changed the row; a plain UPDATE leaves it as it was.",
    },
    "plans": {
        "id": "The key of the row. The client makes it, and PostgreSQL where a client sends none.",
        "context_id": "The context that the plan belongs to.",
        "status": "The stage of the work.",
        "completion_pct": (
            "How much of the work is done; PostgreSQL keeps the range where no older row breaks it. "
            "Unit: percent, 0 to 100."
        ),
        "notes": "Remarks on the plan, in free text.",
        "inserted_at": "When the row was made.",
        "updated_at": "When an application last changed the row; a plain UPDATE leaves it as it was.",
    },
    "secrets": {
        "id": "The key of the row. The client makes it, and PostgreSQL where a client sends none.",
        "key": "The name of the secret; it is unique in the whole database.",
        "value_encrypted": "The encrypted value. Unit: bytes.",
        "inserted_at": "When the row was made.",
        "updated_at": "When an application last changed the row; a plain UPDATE leaves it as it was.",
    },
    "sessions": {
        "id": "The key of the row. The client makes it, and PostgreSQL where a client sends none.",
        "context_id": "The context that was worked in.",
        "actor": "The person or program that worked; the Elixir model demands it.",
        "started_at": "When the work began; the Elixir model demands it.",
        "ended_at": "When the work ended; NULL while it goes on.",
        "summary": "What was done, in free text.",
        "metadata": "Further facts about the session as a JSON object.",
        "inserted_at": "When the row was made.",
        "updated_at": "When an application last changed the row; a plain UPDATE leaves it as it was.",
    },
    "shortcut_aliases": {
        "id": "The key of the row. The client makes it, and PostgreSQL where a client sends none.",
        "alias_name": "The short name; it is unique in the whole database.",
        "target_tool": "The tool that the short name calls.",
        "args_schema": "The names of the tool's arguments, in order.",
        "inserted_at": "When the row was made.",
        "updated_at": "When an application last changed the row; a plain UPDATE leaves it as it was.",
    },
    "sync_queue": {
        "id": "The key of the row. The client makes it, and PostgreSQL where a client sends none.",
        "type": "What the payload is; the agent's worker crashes on any other word.",
        "payload": "The row to be sent, as a JSON object.",
        "status": "How far the transfer is; no known program writes processing.",
        "priority": "The order of transfer: the greatest number goes first. Unit: rank.",
        "attempts": "How often the transfer was tried. Unit: attempts.",
        "last_error": "What went wrong at the last attempt, in free text.",
        "scheduled_at": "The earliest time of the next attempt; a row without one is never sent.",
        "inserted_at": "When the row was made.",
        "updated_at": "When an application last changed the row; a plain UPDATE leaves it as it was.",
    },
    "tala_operations": {
        "id": "The key of the row. The client makes it, and PostgreSQL where a client sends none.",
        "session_id": (
            "The session whose operation waits; it has no foreign key, and a database before head can "
            "hold any text."
        ),
        "context_id": (
            "The context that the operation concerns; it has no foreign key, and a database before head"
            " can hold any text."
        ),
        "tool_name": "The tool that was called.",
        "params": "The arguments of the call as a JSON object.",
        "actor": "The person or program that called the tool.",
        "status": "What became of the operation; the agent deletes discarded rows instead of marking them.",
        "inserted_at": "When the row was made.",
        "capability_token": "The token that permits the call.",
        "phi_flag": (
            "Whether the call carries protected health data. Older rows may hold a default that no "
            "writer gave."
        ),
        "merkle_root": "The root of the hash tree that the operation is part of.",
        "audit_hash": "The hash of the operation for the audit; the database does not tie it to the row.",
        "degradation_tier": (
            "How much of the system was available at the call. Older rows may hold a default that no "
            "writer gave."
        ),
    },
    "tasks": {
        "id": "The key of the row. The client makes it, and PostgreSQL where a client sends none.",
        "context_id": "The context that the task belongs to.",
        "title": "What is to be done, in a few words.",
        "description": "What is to be done, in detail.",
        "priority": "How urgent the task is, capitalised, unlike the priority of a memory.",
        "status": "Whether the task is done.",
        "inserted_at": "When the row was made.",
        "updated_at": "When an application last changed the row; a plain UPDATE leaves it as it was.",
    },
    "usage_records": {
        "id": "The key of the row. The client makes it, and PostgreSQL where a client sends none.",
        "context_id": "The context that the call was made for; NULL if that has been deleted.",
        "provider": "The company or service that was paid.",
        "model": "The name of the model that was called.",
        "operation": "What the model was asked to do.",
        "tokens_input": "How much was sent to the model. Unit: tokens.",
        "tokens_output": "How much the model answered. Unit: tokens.",
        "total_tokens": (
            "Input and output together; the writer computes it, and PostgreSQL refuses another number "
            "where no older row has one. Unit: tokens."
        ),
        "cost_estimate": (
            "The estimated price of the call, with six decimal places. Unit: money; the Elixir code "
            "names no currency."
        ),
        "duration_ms": "How long the call took. Unit: milliseconds.",
        "inserted_at": "When the row was made.",
        "updated_at": "When an application last changed the row; a plain UPDATE leaves it as it was.",
        "organization_id": (
            "The organization that the context belonged to when the call was made. It has no foreign "
            "key, because the organization may be gone; the database fills it from the context."
        ),
    },
    "workspaces": {
        "id": "The key of the row. The client makes it, and PostgreSQL where a client sends none.",
        "name": "The name of the arrangement.",
        "layout_type": "How the panels are laid out.",
        "ide_panel_order": "The names of the editor's panels, from first to last.",
        "inserted_at": "When the row was made.",
        "updated_at": "When an application last changed the row; a plain UPDATE leaves it as it was.",
    },
}


def upgrade() -> None:
    steps.describe(TEXTS)


def downgrade() -> None:
    steps.describe({table: dict.fromkeys(texts) for table, texts in TEXTS.items()}, instead_of=TEXTS)
