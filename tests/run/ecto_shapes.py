"""Databases in the shapes that Ecto left, made from the files and facts of the shared folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

HNSW = (
    "CREATE INDEX memories_embedding_idx ON memories USING hnsw (embedding vector_cosine_ops)"
    " WITH (m = 16, ef_construction = 64)"
)
# Two numbers in Erlang's external term format.
TERM = "decode('836c00000002463ff0000000000000464000000000000000'||'6a','hex')"
TO_BYTES = (
    "ALTER TABLE {0} ALTER COLUMN embedding TYPE bytea USING CASE WHEN embedding IS NOT NULL THEN "
    + TERM
    + " END"
)
AGENT_TALA = (
    (
        "CREATE TABLE tala_operations (id uuid DEFAULT uuid_generate_v4() NOT NULL CONSTRAINT tala_operations_pkey PRIMARY KEY,"
        " context_id uuid NOT NULL CONSTRAINT tala_operations_context_id_fkey REFERENCES contexts ON DELETE CASCADE,"
        " session_id uuid NOT NULL, tool_name varchar(255) NOT NULL, params jsonb DEFAULT '{}' NOT NULL, actor varchar(255),"
        " status varchar(255) DEFAULT 'pending', inserted_at timestamp(0) DEFAULT now() NOT NULL)"
    ),
    "CREATE INDEX tala_operations_context_id_index ON tala_operations (context_id)",
    "CREATE INDEX tala_operations_session_id_index ON tala_operations (session_id)",
    "CREATE INDEX tala_operations_status_index ON tala_operations (status)",
)
AUDIT_COLUMNS = (
    (
        "ALTER TABLE tala_operations ADD capability_token text, ADD phi_flag boolean DEFAULT false,"
        " ADD merkle_root varchar(255), ADD audit_hash varchar(255), ADD degradation_tier varchar(255) DEFAULT 'online'"
    ),
    "CREATE INDEX tala_operations_audit_hash_index ON tala_operations (audit_hash)",
    "CREATE INDEX tala_operations_phi_flag_index ON tala_operations (phi_flag)",
)
IDEMPOTENCY = (
    (
        "CREATE TABLE idempotency_log (id uuid DEFAULT uuid_generate_v4() NOT NULL CONSTRAINT idempotency_log_pkey PRIMARY KEY,"
        " context_id uuid NOT NULL CONSTRAINT idempotency_log_context_id_fkey REFERENCES contexts ON DELETE CASCADE,"
        " client_id varchar(255) NOT NULL, tool_name varchar(255) NOT NULL, result_id uuid, status varchar(255) NOT NULL,"
        " error_reason text, processed_at timestamp(0) DEFAULT now() NOT NULL)"
    ),
    "CREATE UNIQUE INDEX idempotency_log_context_id_client_id_index ON idempotency_log (context_id, client_id)",
    "CREATE INDEX idempotency_log_processed_at_index ON idempotency_log (processed_at)",
)
ONE_OPERATION = "INSERT INTO tala_operations (context_id, session_id, tool_name, params) SELECT id, id, 'store', '{\"n\": 1}' FROM contexts"
LATER_THAN_0_1_0 = (
    "DROP TABLE api_keys, sync_queue",
    "ALTER TABLE contexts DROP sync_origin, DROP remote_id",
    "ALTER TABLE memories DROP sync_origin, DROP remote_id",
    "DELETE FROM schema_migrations WHERE version > 20260107000000",
)
SEVEN_ROWS = (
    "INSERT INTO schema_migrations SELECT v, now() FROM generate_series(20250101000001, 20250101000007) v"
)

# Each variant of the facts: the file it starts from, and what makes it of that.
VARIANTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "head_fresh": ("ecto_cloud_head", ()),
    "head_dirty": ("ecto_dirty_data", ()),
    "head_upgraded": ("ecto_cloud_head", (HNSW,)),
    "head_disabled": ("ecto_no_vector", ()),
    "head_skipped": ("ecto_cloud_head", (TO_BYTES.format("embedding_cache"),)),
    "stuck_31": ("ecto_no_vector", ("DELETE FROM schema_migrations WHERE version = 20260228010000",)),
    "mid_head_code": (
        "ecto_mid_v384",
        ("DROP INDEX memories_embedding_idx", TO_BYTES.format("memories")),
    ),
    "mid_january_code": ("ecto_mid_v384", ()),
    "agent_local": ("ecto_agent_local_tala", ()),
    "both_marked": (
        "ecto_cloud_head",
        (
            HNSW,
            "DROP TABLE tala_operations",
            *AGENT_TALA,
            *AUDIT_COLUMNS,
            *IDEMPOTENCY,
            ONE_OPERATION,
            "INSERT INTO schema_migrations VALUES (20260109204856, now())",
        ),
    ),
    "v0_1_0_community": (
        "ecto_mid_v384",
        (
            "DROP INDEX memories_embedding_idx",
            TO_BYTES.format("memories"),
            TO_BYTES.format("embedding_cache"),
            *LATER_THAN_0_1_0,
        ),
    ),
    "v0_1_0_enterprise": ("ecto_mid_v384", LATER_THAN_0_1_0),
    "seven_rows": ("ecto_cloud_head", (SEVEN_ROWS,)),
}
NEED_NO_VECTOR = ("head_disabled", "stuck_31")


def make(name: str, legacy: Callable[[str], str]) -> str:
    """Make the variant of that name and return the database's URL."""
    file, statements = VARIANTS[name]
    url = legacy(file)
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)
    return url


def tables_of(facts: Path) -> list[str]:
    """Return the statements that make the tables, keys and indexes of a JSON file of the facts."""
    document = json.loads(facts.read_text())
    made: list[str] = []
    waiting = dict(document["tables"])
    while waiting:
        name = next(
            table
            for table, held in waiting.items()
            if not any(
                key["ref_table"] in waiting and key["ref_table"] != table for key in held["foreign_keys"]
            )
        )
        made += _table(name, waiting.pop(name))
    versions = ", ".join(f"({version}, '2026-01-05 00:00:00')" for version in document["versions"])
    made.append("CREATE TABLE schema_migrations (version bigint PRIMARY KEY, inserted_at timestamp(0))")
    made.append(f"INSERT INTO schema_migrations VALUES {versions}")
    return made


def _table(name: str, held: dict[str, Any]) -> list[str]:
    lines = [
        f"{column['name']} {column['type']}{'' if column['nullable'] else ' NOT NULL'}"
        f"{' DEFAULT ' + column['default'] if column['default'] else ''}"
        for column in held["columns"]
    ]
    lines.append(f"CONSTRAINT {name}_pkey PRIMARY KEY ({', '.join(held['primary_key']['columns'])})")
    lines += [
        f"CONSTRAINT {key['name']} FOREIGN KEY ({', '.join(key['columns'])}) REFERENCES {key['ref_table']} (id)"
        f" ON DELETE {key.get('on_delete') or 'NO ACTION'}"
        for key in held["foreign_keys"]
    ]
    made = [f"CREATE TABLE {name} ({', '.join(lines)})"]
    for index in held["indexes"]:
        unique = "UNIQUE " if index["unique"] else ""
        method = f" USING {index['method']}" if "method" in index else ""
        made.append(f"CREATE {unique}INDEX {index['name']} ON {name}{method} ({', '.join(index['columns'])})")
    return made
