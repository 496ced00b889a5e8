"""The state of every target of a fleet without a connection to each: one query for 250 schemas of a database.

The query reads the same facts as `bookkeeping.look` for one schema and yields the same `State`, so that the same code
decides in both cases. A schema that the query cannot read, because a right is missing or an object was dropped
meanwhile, is read separately.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from diwa_schema.api.opening import reading
from diwa_schema.database import bookkeeping
from diwa_schema.database.failures import explain, is_driver_error
from diwa_schema.database.state import BOOKKEEPING, ECTO, LEDGER, PROTECTION, VERSION, State
from diwa_schema.database.target import Target
from diwa_schema.errors import DiwaSchemaError
from diwa_schema.fleet.targets import Member, naming
from diwa_schema.migrations import pgvector
from diwa_schema.migrations.manifest import load
from diwa_schema.names import qualified

if TYPE_CHECKING:
    from diwa_schema.database.link import Link

CHUNK = 250  # tables that one statement reads
_AT_ONCE = 16  # connections that read side by side
_EACH = (
    4  # maximum of these in one database: a server process takes longer to open so many tables than to start
)

# Every name of one server leads to the moment of its start. The identifier of a server's data is not sufficient:
# servers from one image or one base backup share it.
_WHERE = f"""
SELECT extract(epoch FROM pg_postmaster_start_time())::text,
  (SELECT oid::bigint FROM pg_database WHERE datname = current_database()),
  current_schema()::text,
  NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'vector')
    AND EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector'),
  ({pgvector.LODGES})
"""
# Grouped first: the index on names finds the few relations of this package in all these schemas at once. They are only
# counted: a schema with the expected number has the expected relations.
_AMONG = "relnamespace = ANY(ARRAY(SELECT oid FROM pg_namespace WHERE nspname = ANY(%s::name[])))"
_THERE = f"""
SELECT n.nspname::text, has_schema_privilege(n.oid, 'USAGE'), coalesce(t.ours, 0), b.names, coalesce(b.plain, true)
FROM pg_namespace n
LEFT JOIN (
  SELECT relnamespace, count(*) AS ours FROM pg_class
  WHERE relname = ANY(%s::name[]) AND {_AMONG} AND relkind IN ('r', 'p', 'v', 'm', 'f') GROUP BY 1
) t ON t.relnamespace = n.oid
LEFT JOIN (
  SELECT relnamespace, array_agg(relname::text) AS names,
    bool_and(NOT relrowsecurity AND has_table_privilege(oid, 'SELECT')) AS plain
  FROM pg_class
  WHERE relname = ANY(%s::name[]) AND {_AMONG} AND relkind IN ('r', 'p', 'v', 'm', 'f') GROUP BY 1
) b ON b.relnamespace = n.oid
WHERE n.nspname = ANY(%s::name[])
"""
_NAMES = """
SELECT n.nspname::text, array_agg(c.relname::text) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = ANY(%s::name[]) AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname = ANY(%s::name[]) GROUP BY 1
"""

Identity = tuple[str, ...]
T = TypeVar("T")


class Place(NamedTuple):
    """A database with members of a fleet, as one connection saw it.

    Args:
        host: The identity of its server, for the limit per server.
        identity: The identity of the database, independent of its name.
        schema: The schema for unqualified new names.
        extension_due: Whether the first change creates an extension there, which no other run may do at the same time.
        lodging: The schema with tables of a target that also has the extension of the embeddings; None without one.
    """

    host: str
    identity: Identity
    schema: str | None
    extension_due: bool = False
    lodging: str | None = None


class Found(NamedTuple):
    """The census of one member.

    Args:
        member: The member.
        place: Its database; None if it was not reached.
        state: Its state; None if it could not be read.
        error: The reason for a missing state.
    """

    member: Member
    place: Place | None
    state: State | None = None
    error: DiwaSchemaError | None = None

    @property
    def identity(self) -> Identity:
        """The identity of this target, independent of its name."""
        if self.place is None:
            return (self.member.target.url.driver, self.member.schema or "")
        schema = self.state.schema if self.state else self.member.schema or self.place.schema or ""
        return (*self.place.identity, schema)

    @property
    def keys(self) -> tuple[Identity, Identity]:
        """The identity and the name: a target is the same in two searches if one of them is.

        A restart of its server changes the identity.
        """
        return self.identity, self.member.key


def take(members: Sequence[Member]) -> list[Found]:
    """Return the state of members, in their order; nothing is written.

    A member that cannot be reached or read is reported with its error and does not affect the others.
    """
    seen = {id(member): Found(member, None, error=member.error) for member in members if member.error}
    groups: dict[str, list[Member]] = defaultdict(list)
    for member in members:
        if id(member) not in seen:
            groups[member.target.url.driver].append(member)
    parts = [part for group in groups.values() for part in _parts(group)]
    if len(parts) <= 1:
        found = [_of_database(part) for part in parts]
    else:
        with ThreadPoolExecutor(min(_AT_ONCE, len(parts))) as threads:
            found = list(threads.map(_of_database, parts))
    seen |= {id(one.member): one for part in found for one in part}
    return [seen[id(member)] for member in members]


def _parts(group: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield the members of one database, grouped by connection."""
    connections = max(1, min(_EACH, len(group) // CHUNK))
    size = -(-len(group) // connections)
    return (group[at : at + size] for at in range(0, len(group), size))


def _of_database(members: Sequence[Member]) -> list[Found]:
    first = members[0].target
    place = None
    try:
        with Target(first.url).connect(create=False, filtered=True) as link:
            if link.dialect == "sqlite":
                place = Place("", (first.url.file or first.url.driver,), "main")
                state = bookkeeping.look(link)
                return [Found(member, place, state) for member in members]
            place = _place(link)
            named = [member.schema for member in members if member.schema is not None]
            states = dict(_states(link, named)) if named else {}
    except Exception as error:  # noqa: BLE001 - is told of each
        failed = _explained(error, first.url.shown)
        return [Found(member, place, error=failed) for member in members]
    return [
        Found(member, place, states[member.schema]) if member.schema in states else _alone(member, place)
        for member in members
    ]


def _place(link: Link) -> Place:
    server, database, schema, due, lodging = link.rows(_WHERE)[0]
    return Place(str(server), (str(server), str(database)), schema, bool(due), lodging)


def _alone(member: Member, place: Place | None) -> Found:
    """Read one member as a single command does, whose error describes the problem."""
    with naming(member):
        try:
            with reading(member.url, None, member.schema) as link:
                return Found(member, place, bookkeeping.look(link))
        except DiwaSchemaError as error:
            return Found(member, place, error=error)


def _states(link: Link, schemas: Sequence[str]) -> Iterator[tuple[str, State]]:
    """Yield the state of each schema that the shared query can read."""
    history = load()
    whole = frozenset(history.tables)
    beside = sorted(BOOKKEEPING | history.leftovers - whole)
    there: dict[str, frozenset[str]] = {}
    rest: list[str] = []
    named = list(schemas)
    for name, usable, count, kept, plain in link.rows(_THERE, (sorted(whole), named, beside, named, named)):
        if not usable or not plain:
            continue
        there[name] = frozenset(kept or ())
        if count == len(whole):
            there[name] |= whole
        elif count:
            rest.append(name)
    for name, listed in link.rows(_NAMES, (sorted(whole), rest)) if rest else ():
        there[name] |= frozenset(listed)
    try:
        versions = _gathered(link, there, VERSION, "version_num, floor")
        ecto = _gathered(link, there, ECTO, "version", "version")
        protected = _gathered(link, there, PROTECTION, "1")
    except Exception as error:
        if not is_driver_error(error):
            raise
        return  # one was dropped or fenced meanwhile: each is read separately
    for name, tables in there.items():
        if not whole <= tables and history.head in (row[0] for row in versions[name]):
            continue  # a run may have ended since the tables were listed; a separate read lists them again
        yield (
            name,
            State(
                name,
                tables,
                tuple((row[0], row[1]) for row in versions[name]),
                tuple(int(row[0]) for row in ecto[name]) if ECTO in tables else None,
                bool(protected[name]),
            ),
        )


def _gathered(
    link: Link, there: dict[str, frozenset[str]], table: str, columns: str, order: str = ""
) -> dict[str, list[tuple[Any, ...]]]:
    """Return the rows of one table in all schemas that have it, by schema, with UNION ALL over many at a time."""
    having = [name for name, tables in there.items() if table in tables]
    found: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for first in range(0, len(having), CHUNK):
        parts = (
            f"(SELECT {number}, {columns} FROM {qualified(name, table)}{f' ORDER BY {order}' if order else ''})"
            for number, name in enumerate(having[first : first + CHUNK], first)
        )
        for number, *row in link.rows(" UNION ALL ".join(parts)):
            found[having[number]].append(tuple(row))
    return found


def tampered(found: Iterable[Found], checksums: dict[str, str]) -> set[Identity]:
    """Return the schemas of one database whose ledger has a different checksum for an installed revision.

    The result may contain too many schemas, never too few: each of them is then checked separately by the exact rule.

    Raises:
        DiwaSchemaError: The ledgers cannot be read together.
    """
    parts = list(_parts([one for one in found if one.state is not None and LEDGER in one.state.tables]))
    if len(parts) <= 1:
        return {name for part in parts for name in _tampered(part, checksums)}
    with ThreadPoolExecutor(len(parts)) as threads:
        return {
            name for names in threads.map(lambda part: _tampered(part, checksums), parts) for name in names
        }


def _tampered(part: Sequence[Found], checksums: dict[str, str]) -> set[Identity]:
    target = part[0].member.target
    known = ", ".join(f"('{name}', '{digest}')" for name, digest in checksums.items())
    named: set[Identity] = set()
    try:
        with Target(target.url).connect(create=False, filtered=True) as link:
            for first in range(0, len(part), CHUNK):
                reads = (
                    f"SELECT {number}, revision, checksum FROM {qualified(one.identity[-1], LEDGER)}"
                    for number, one in enumerate(part[first : first + CHUNK], first)
                )
                rows = link.rows(
                    f"SELECT DISTINCT l.n FROM ({' UNION ALL '.join(reads)}) l (n, revision, checksum)"
                    f" JOIN (VALUES {known}) k (revision, checksum)"
                    " ON k.revision = l.revision AND k.checksum <> l.checksum"
                )
                named |= {part[number].identity for (number,) in rows}
    except Exception as error:
        raise _explained(error, target.shown) from error
    return named


def _explained(error: Exception, shown: str) -> DiwaSchemaError:
    if isinstance(error, DiwaSchemaError):
        return error
    if is_driver_error(error):
        return explain(error, shown, "reading")
    raise error
