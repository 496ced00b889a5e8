"""The indexes, and the conditions and orders that they share with the queries.

An index serves a query only if both contain the same condition, and the same text for an expression. Each condition is
therefore defined once, here, and `diwa_schema.queries` builds its statements from it. Values are literals: PostgreSQL
cannot prove that a parameter equals a value of a partial index.
"""

from typing import Any, get_args
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Index,
    Integer,
    String,
    and_,
    bindparam,
    func,
    literal as literal_text,
    literal_column,
    or_,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from diwa_schema.models.core import Context, ContextBinding, Memory
from diwa_schema.models.queues import SyncQueue
from diwa_schema.models.team import Task
from diwa_schema.models.types import ShortText
from diwa_schema.models.values import TaskPriority
from diwa_schema.names import literal

RULE_CLASSES = ("user_rule", "system_instruction")
"""The classes of memories that are rules."""

MOST_ATTEMPTS = 10
"""How often the transfer of a row is tried."""


_LONGEST = 255  # number of an entry's first characters that an index holds


class _Rank(FunctionElement[int]):
    """The place of a word in the order of task priorities; 4 for any other and for none."""

    type = Integer()
    inherit_cache = True


@compiles(_Rank)
def _rank(element: _Rank, compiler: Any, **options: Any) -> str:
    (column,) = (compiler.process(each, **options) for each in element.clauses)
    places = " ".join(
        f"WHEN {literal(word)} THEN {place}" for place, word in enumerate(get_args(TaskPriority), 1)
    )
    return f"(CASE {column} {places} ELSE {len(get_args(TaskPriority)) + 1} END)"


class _Entry(FunctionElement[str]):
    """The text of an entry of a document; NULL on SQLite if the document is not JSON."""

    type = String()
    inherit_cache = True


class _Alone(FunctionElement[Any]):
    """A value as a list of one, which PostgreSQL's inverted indexes accept without an extension."""

    inherit_cache = True


@compiles(_Alone)
def _alone(element: _Alone, compiler: Any, **options: Any) -> str:
    (column,) = (compiler.process(each, **options) for each in element.clauses)
    return f"(ARRAY[{column}])"


class _Within(FunctionElement[bool]):
    """A comparison in the form that an inverted index serves; SQLite has no such index and compares directly.

    It has no type: SQLAlchemy would compare a boolean expression with 1 on SQLite, and no index serves that.
    """

    inherit_cache = True


@compiles(_Within)
def _within(element: _Within, compiler: Any, **options: Any) -> str:
    column, wanted = element.clauses
    column, wanted = (compiler.process(_Alone(each), **options) for each in (column, wanted))
    return f"{column} @> {wanted}"


@compiles(_Within, "sqlite")
def _within_compared(element: _Within, compiler: Any, **options: Any) -> str:
    column, wanted = (compiler.process(each, **options) for each in element.clauses)
    return f"{column} = {wanted}"


@compiles(_Rank, "postgresql")
def _rank_in_one_line(element: _Rank, compiler: Any, **options: Any) -> str:
    """Return the expression as PostgreSQL prints it for the index, in one line: Alembic compares the texts."""
    (column,) = (compiler.process(each, **options) for each in element.clauses)
    words = ", ".join(f"{literal(word)}::character varying" for word in get_args(TaskPriority))
    return f"COALESCE(array_position(ARRAY[{words}], {column}), {len(get_args(TaskPriority)) + 1})"


@compiles(_Entry)
def _entry(element: _Entry, compiler: Any, **options: Any) -> str:
    column, key = (compiler.process(each, **options) for each in element.clauses)
    return f"({column} ->> {key})"


@compiles(_Entry, "sqlite")
def _entry_of_a_text(element: _Entry, compiler: Any, **options: Any) -> str:
    column, key = (compiler.process(each, **options) for each in element.clauses)
    place = f"""'$."' || {key} || '"'"""
    # PostgreSQL spells a flag in words.
    text = (
        f"CASE json_type({column}, {place}) WHEN 'true' THEN 'true' WHEN 'false' THEN 'false'"
        f" ELSE json_extract({column}, {place}) END"
    )
    return f"(CASE WHEN json_valid({column}) THEN {text} END)"


class _Beginning(FunctionElement[str]):
    """The first characters of an entry's text, so that an index never refuses a row with a long text."""

    type = String()
    inherit_cache = True


@compiles(_Beginning)
def _beginning(element: _Beginning, compiler: Any, **options: Any) -> str:
    column, key = element.clauses
    found = compiler.process(_Entry(column, key), **options)
    # Without parentheses: Alembic compares the texts.
    return f"substr({found[1:-1]}, 1, {_LONGEST})"


def _word(value: str) -> ColumnElement[str]:
    return literal_column(literal(value), String())


def entry(document: Any, key: str) -> ColumnElement[str]:
    """Return the text of an entry of a document, on both databases.

    Args:
        document: The column, such as `Memory.metadata_`.
        key: The key, a constant of the program: it becomes part of the statement.
    """
    return _Entry(document, _word(key))


LIVE = Memory.deleted_at.is_(None)
"""A memory that was not deleted."""

ARRIVAL = (Memory.arrived_at, Memory.id)
"""The order in which memories came; the newest is the last one."""

REFINING = Memory.parent_id.is_not(None)
"""A memory that refines another one."""

EXPIRING = and_(LIVE, Memory.expires_at.is_not(None))
"""A live memory that loses its validity at some time."""

RULE = and_(LIVE, Memory.memory_class.in_([_word(each) for each in RULE_CLASSES]))
"""A live memory that is a rule."""

EMBEDDED = and_(LIVE, Memory.embedding.is_not(None))
"""A live memory that has an embedding."""

_type_begins: ColumnElement[str] = _Beginning(Memory.metadata_, _word("type"))


def of_type(kind: str) -> ColumnElement[bool]:
    """Return the condition that a memory's metadata names a type, in the form that the index serves.

    Args:
        kind: The type. The index holds the first 255 characters of each type.
    """
    begins = _type_begins == kind[:_LONGEST]
    return begins if len(kind) < _LONGEST else and_(begins, entry(Memory.metadata_, "type") == kind)


PENDING = Task.status == _word("pending")
"""A task that is not done."""

urgency: ColumnElement[int] = _Rank(Task.priority)
"""The order of tasks: the smallest number is the most urgent."""


def urgency_of(priority: str | None) -> int:
    """Return the rank of a priority in the order of tasks, as the database computes it."""
    words = get_args(TaskPriority)
    return words.index(priority) + 1 if priority in words else len(words) + 1


READY = or_(
    SyncQueue.status == _word("pending"),
    and_(SyncQueue.status == _word("failed"), SyncQueue.attempts < literal_column(str(MOST_ATTEMPTS))),
)
"""A row of the outgoing queue that waits to be sent."""


def searched_in(context: UUID) -> ColumnElement[bool]:
    """Return the condition that a memory belongs to a context, for a query on tags or words.

    With a plain comparison, PostgreSQL would read a large context completely in another index.

    Args:
        context: The context.
    """
    return _Within(Memory.context_id, bindparam("context", context, Memory.context_id.type, unique=True))


class _Named(FunctionElement[bool]):
    """A comparison of a name regardless of case: column, name, name in small letters, and pairs of letters.

    SQLite's lower() knows only the letters of ASCII. The pairs are the others of the name, large and small.
    """

    inherit_cache = True


@compiles(_Named)
def _lower_names(element: _Named, compiler: Any, **options: Any) -> str:
    # Only what the statement needs: a server cannot infer the type of a parameter that appears nowhere in it.
    column, name = (compiler.process(each, **options) for each in [*element.clauses][:2])
    return f"lower({column}) = lower({name})"


@compiles(_Named, "sqlite")
def _lower_names_and_letters(element: _Named, compiler: Any, **options: Any) -> str:
    column, _, name, *letters = element.clauses
    lower = f"lower({compiler.process(column, **options)})"
    for large, small in zip(letters[::2], letters[1::2], strict=True):
        lower = (
            f"replace({lower}, {compiler.process(large, **options)}, {compiler.process(small, **options)})"
        )
    return f"{lower} = lower({compiler.process(name, **options)})"


def is_named(name: str) -> ColumnElement[bool]:
    """Return the condition that a context has a name, regardless of case, on both databases.

    Args:
        name: The name.
    """
    small = "".join(map(_small, name))
    others = [each for each in dict.fromkeys(small) if not each.isascii() and _small(each.upper()) == each]
    pairs = [letter for each in others for letter in (each.upper(), each)]
    return _Named(
        Context.name, *(literal_text(each, ShortText(compared=True)) for each in (name, small, *pairs))
    )


def _small(letter: str) -> str:
    """Return a small letter, as the databases make it: always one of one."""
    return letter.lower() if len(letter.lower()) == 1 else letter


INDEXES = (
    Index("memories_content_index", Memory.content),
    Index("memories_children_index", Memory.parent_id),
    Index("memories_expiring_index", Memory.expires_at),
    Index("memories_rules_index", Memory.context_id, Memory.memory_class),
    Index("memories_context_live_index", Memory.context_id, *ARRIVAL),
    Index("memories_context_type_index", Memory.context_id, _type_begins, *ARRIVAL),
    Index("memories_live_index", *ARRIVAL),
    Index("memories_embedded_index", Memory.context_id),
    Index("memories_search_index", _Alone(Memory.context_id), Memory.tags, Memory.tsv_content),
    Index("tasks_pending_index", Task.context_id, urgency, Task.inserted_at.desc(), Task.id.desc()),
    Index(
        "context_bindings_lookup_index",
        ContextBinding.binding_type,
        ContextBinding.value,
        ContextBinding.inserted_at,
        ContextBinding.id,
    ),
    Index("contexts_organization_id_lower_name_index", Context.organization_id, func.lower(Context.name)),
    Index("sync_queue_ready_index", SyncQueue.priority.desc(), SyncQueue.inserted_at, SyncQueue.id),
)
"""The indexes of these conditions and orders; each belongs to its table by being made."""

PARTIAL = {
    "memories_children_index": REFINING,
    "memories_expiring_index": EXPIRING,
    "memories_rules_index": RULE,
    "memories_context_live_index": LIVE,
    "memories_context_type_index": LIVE,
    "memories_live_index": LIVE,
    "memories_embedded_index": EMBEDDED,
    "memories_search_index": LIVE,
    "tasks_pending_index": PENDING,
    "sync_queue_ready_index": READY,
}
"""Which rows an index has; `tables_for` tells it the dialect, which would be loaded by saying it there."""
