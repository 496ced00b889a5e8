"""The tables in the shape of one database: the models are the same everywhere, the tables differ slightly."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import (
    DDL,
    CheckConstraint,
    Connection,
    ForeignKeyConstraint,
    MetaData,
    Table,
    event,
    inspect,
    text,
)
from sqlalchemy.sql.elements import quoted_name

from diwa_schema.models import inherited, searched
from diwa_schema.models.filled import FILLINGS, filling_trigger
from diwa_schema.models.kinds import kind_in
from diwa_schema.models.rules import KEPT
from diwa_schema.models.types.embeddings import Embedding, Vector
from diwa_schema.models.types.scalars import ServerDefault
from diwa_schema.names import quoted

_SEARCH_TRIGGER = DDL(  # type: ignore[no-untyped-call]
    "CREATE TRIGGER tsvectorupdate BEFORE INSERT OR UPDATE OF content ON memories FOR EACH ROW"
    " EXECUTE FUNCTION tsvector_update_trigger(tsv_content, 'pg_catalog.english', content)"
)

_ARRIVAL_TRIGGER = DDL(  # type: ignore[no-untyped-call]
    filling_trigger("memories", "arrived_at", "inserted_at")
)

_ORGANIZATION_TRIGGERS = tuple(
    DDL(statement)  # type: ignore[no-untyped-call]
    for statement in (inherited.function(), inherited.triggers("memories"))
)
_SQLITE_TRIGGERS = (
    _ARRIVAL_TRIGGER,
    *(DDL(statement) for statement in inherited.on_sqlite("memories").values()),  # type: ignore[no-untyped-call]
)

POSTGRES_ONLY_INDEXES = {rule.name for rule in KEPT if rule.unique} | {
    "contexts_id_organization_id_index",
    # SQLite has no hash indexes, no inverted indexes, no distances and few rows to sort, and an index on an expression
    # refuses each row that the expression cannot read.
    "contexts_organization_id_lower_name_index",
    "memories_content_index",
    "memories_context_type_index",
    "memories_embedded_index",
    "memories_search_index",
    # A trigger numbers versions there as well, and with one writer at a time no unique index is needed.
    "memory_versions_memory_id_version_number_index",
    "sync_queue_ready_index",
    "tasks_pending_index",
}
SQLITE_ONLY_INDEXES = frozenset(
    {
        "memories_tags_index",
        "memory_versions_memory_id_index",
        "sync_queue_status_priority_scheduled_at_index",
    }
)

# Set here, because setting it in a model's declaration would load the whole dialect.
METHODS = {"memories_content_index": "hash", "memories_search_index": "gin"}

# A text key may be NULL in SQLite, which has kept this old bug: in these tables Ecto does not demand NOT NULL.
_OF_ECTO = frozenset(
    (  # noqa: SIM905 - a list of words
        "agents api_keys checkpoints conflict_performance conflict_resolution_outcomes context_bindings context_commits"
        " context_registry context_relationships contexts delegations embedding_cache hitl_escalations idempotency_log"
        " ingest_jobs memories memory_checksums memory_versions messages organizations orphan_review_logs panels plans"
        " secrets sessions shortcut_aliases sync_queue tala_operations tasks usage_records workspaces"
    ).split()
)

# PostgreSQL cuts a name after 63 bytes, and Ecto relied on that.
FULL_NAMES = {
    "context_relationships_source_context_id_target_context_id_relat": (
        "context_relationships_source_context_id_target_context_id_relationship_type_index"
    )
}


def tables_for(metadata: MetaData, connection: Connection) -> MetaData:
    """Return a copy of the tables in the shape for a connection's database.

    The copy serves to create the tables there or to compare them: it has the database's types of embedding columns, and
    on SQLite it omits everything that only PostgreSQL supports.

    Args:
        metadata: `Base.metadata`.
        connection: The connection, used for reading only. On PostgreSQL one query checks for pgvector.
    """
    from diwa_schema.models.served import PARTIAL

    copy = MetaData(naming_convention=metadata.naming_convention)
    for table in metadata.sorted_tables:
        for index in table.to_metadata(copy).indexes:
            if index.name in PARTIAL:
                index.dialect_options[connection.dialect.name]["where"] = PARTIAL[str(index.name)]
    _fit_defaults(copy, connection.dialect.name)
    _fill(copy, connection.dialect.name)
    if connection.dialect.name == "sqlite":
        _fit_sqlite(copy)
        _search(copy, connection)
        _fit_foreign_keys(copy, connection)
    else:
        _fit_postgresql(copy, connection)
    return copy


def drop_rest(connection: Connection, tables: Collection[str]) -> None:
    """Drop the remains of dropped tables: functions that filled columns, and on SQLite the words of memories.

    Args:
        connection: A connection whose current schema contained the tables.
        tables: The tables.
    """
    if connection.dialect.name == "postgresql":
        for filling in FILLINGS:
            if filling.table in tables:
                connection.exec_driver_sql(filling.drop_function())
        if "memories" in tables:
            connection.exec_driver_sql(inherited.no_function())
    elif searched.TABLE in tables:
        for statement in searched.drop():
            connection.exec_driver_sql(statement)


def _fit_defaults(metadata: MetaData, dialect: str) -> None:
    """Leave out the defaults that only the other database has."""
    for table in metadata.tables.values():
        for column in table.columns:
            default = getattr(column.server_default, "arg", None)
            if isinstance(default, ServerDefault) and dialect not in default.spellings:
                column.server_default = None


def _fill(metadata: MetaData, dialect: str) -> None:
    """Create the triggers that fill columns together with their tables."""
    for filling in FILLINGS:
        if filling.table in metadata.tables:
            made = filling.create_on_sqlite() if dialect == "sqlite" else filling.create()
            for statement in made:
                ddl = DDL(statement.replace("%", "%%"))  # type: ignore[no-untyped-call]
                event.listen(metadata.tables[filling.table], "after_create", ddl)


def _search(metadata: MetaData, connection: Connection) -> None:
    """Create the word index together with the memories, if this SQLite supports it."""
    if searched.TABLE in metadata.tables:
        possible = bool(connection.scalar(text(searched.is_possible())))
        for statement in searched.create(possible=possible):
            ddl = DDL(statement)  # type: ignore[no-untyped-call]
            event.listen(metadata.tables[searched.TABLE], "after_create", ddl)


def _fit_postgresql(metadata: MetaData, connection: Connection) -> None:
    # Reflection needs to know these types.
    connection.dialect.ischema_names.setdefault("vector", Vector)  # type: ignore[attr-defined]
    if "memories" in metadata.tables:
        for statement in (_SEARCH_TRIGGER, *_ORGANIZATION_TRIGGERS):
            event.listen(metadata.tables["memories"], "after_create", statement)
    for table in metadata.tables.values():
        for index in list(table.indexes):
            if index.name in SQLITE_ONLY_INDEXES:
                table.indexes.discard(index)
            elif index.name in METHODS:
                index.dialect_options["postgresql"]["using"] = METHODS[str(index.name)]
        for column in table.columns:
            if isinstance(column.type, Embedding):
                column.type = column.type.stored_as(kind_in(connection, f"{table.name}.{column.name}"))


def _fit_sqlite(metadata: MetaData) -> None:
    for table in metadata.tables.values():
        for column in table.primary_key.columns:
            column.nullable = table.name in _OF_ECTO
        # SQLite enforces no rules about rows: adding a check would require a copy of the table.
        checks = {one for one in table.constraints if isinstance(one, CheckConstraint)}
        table.constraints.difference_update(checks)
        _fit_keys(table)
        _fit_indexes(table)
    if "memories" in metadata.tables:
        # Columns that the database itself provides or lacks are not created or compared.
        metadata.tables["memories"].columns["tsv_content"].system = True
        for statement in _SQLITE_TRIGGERS:
            event.listen(metadata.tables["memories"], "after_create", statement)


def _fit_keys(table: Table) -> None:
    """Reduce a foreign key over several columns to its first column: SQLite cannot change the original key."""
    for key in [one for one in table.foreign_key_constraints if len(one.elements) > 1]:
        first = key.elements[0]
        table.constraints.discard(key)
        for element in key.elements:
            element.parent.foreign_keys.discard(element)
            table.foreign_keys.discard(element)
        table.append_constraint(
            ForeignKeyConstraint(
                [first.parent.name], [first.target_fullname], key.name, ondelete=key.ondelete
            )
        )


def _fit_indexes(table: Table) -> None:
    for index in list(table.indexes):
        if index.name in POSTGRES_ONLY_INDEXES:
            table.indexes.discard(index)
        elif index.name in FULL_NAMES:
            index.name = quoted_name(FULL_NAMES[index.name], quote=None)


def _fit_foreign_keys(metadata: MetaData, connection: Connection) -> None:
    """Work around SQLAlchemy, which does not read ON DELETE of a key declared within its column, as Ecto does."""
    inspector = inspect(connection)
    for name in set(inspector.get_table_names()) & set(metadata.tables):
        listed = connection.execute(text(f"PRAGMA foreign_key_list({quoted(name)})"))
        rules = {key["from"]: key["on_delete"] for key in listed.mappings()}
        unread = {
            key["constrained_columns"][0] for key in inspector.get_foreign_keys(name) if not key["options"]
        }
        for constraint in metadata.tables[name].foreign_key_constraints:
            (column,) = constraint.column_keys
            if column in unread and rules.get(column) == constraint.ondelete:
                constraint.ondelete = constraint.elements[0].ondelete = None
