"""python -m benchmarks.open_connections: what each change of the history does to connections that are open.

Every client opens one connection and sends its requests on it over and over: before, during and after a change, which
another process makes. Nothing is restarted. Counted is what failed, whether the last requests of each kind were
answered, and how long the server made any of them wait for a lock of the change. Printed are one table of the changes
that somebody noticed, and one for each of them.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import sqlalchemy as sa

from benchmarks.bench import Bench, name_of
from diwa_schema.drift.optional import OPTIONAL
from diwa_schema.migrations.manifest import load
from diwa_schema.models import EmbeddingCache, Memory, Organization, TalaOperation, arenewed, heal, renewed
from diwa_schema.testing.address import Address
from diwa_schema.testing.databases import VARIABLE
from tests.kit import shapes
from tests.kit.postgrex import Repo
from tests.run.poolers import Pooler
from tests.run.servers import OwnServer
from tests.run.traffic import Stalls

FIRST = "20260107203000"
BEFORE_IDS, BEFORE_VECTORS = "20260302000200", "20260228000500"
KINDS = ("SELECT *", "named columns", "INSERT RETURNING", "UPDATE")
ROUNDS = 7  # psycopg prepares what it has sent five times
PAUSE = 0.15  # seconds between two rounds of a client
PATIENCE = 120.0  # seconds
ROW, SESSION, MOMENT = UUID(int=1), str(UUID(int=7)), "2026-01-01"
LENGTH = len(SESSION)
NOW = "CAST('2026-01-01' AS timestamp)"

MODELS = {"memories": Memory, "embedding_cache": EmbeddingCache, "tala_operations": TalaOperation}
ALL = {**MODELS, "organizations": Organization}


@dataclass(frozen=True, slots=True)
class Request:
    """One statement of an application.

    Args:
        kind: Which of `KINDS`.
        table: The table it is about.
        text: The statement, with %s for its values.
        values: What stands for %s; the class UUID or str for one that is new each time.
        build: The same statement in SQLAlchemy's words, with the types of the models.
    """

    kind: str
    table: str
    text: str
    values: tuple[Any, ...]
    build: Callable[[tuple[Any, ...]], sa.Executable]

    def fresh(self) -> tuple[Any, ...]:
        """Return the values to send now."""
        return tuple(str(uuid4()) if one is str else uuid4() if one is UUID else one for one in self.values)

    @property
    def numbered(self) -> str:
        """The statement with $1 for its values."""
        parts = self.text.split("%s")
        return "".join(part + f"${number}" for number, part in enumerate(parts[:-1], 1)) + parts[-1]


def there(connection: psycopg.Connection[Any]) -> dict[str, set[str]]:
    """Return the tables of a database with the names of their columns, those first that others refer to."""
    found = connection.execute(
        "SELECT c.relname::text, array_agg(a.attname::text) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
        " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped"
        " GROUP BY c.relname"
    )
    columns = {table: set(names) for table, names in found}
    order = ("organizations", "contexts", *columns)
    return {table: columns[table] for table in dict.fromkeys(order) if table in columns}


def requests(url: str) -> list[Request]:
    """Return the requests that an application can send to a database as it is."""
    with psycopg.connect(url) as connection:
        tables = there(connection)
    found: list[Request] = []
    for table, key, value, shown, changed, inserted in (
        (
            "memories",
            "id",
            ROW,
            ["id", "content", "embedding"],
            "content",
            {"context_id": ROW, "content": "x"},
        ),
        ("embedding_cache", "id", ROW, ["id", "model", "embedding"], "model", {"hash": str, "model": "x"}),
        (
            "tala_operations",
            "session_id",
            SESSION,
            ["id", "tool_name", "session_id"],
            "tool_name",
            {"session_id": str, "context_id": str(ROW), "tool_name": "x"},
        ),
        ("organizations", "id", ROW, ["id", "name"], "name", {"name": str}),
    ):
        if table in tables:
            found += _of(table, key, value, shown, changed, inserted, tables[table])
    return found


def _of(
    table: str,
    key: str,
    value: Any,
    shown: list[str],
    changed: str,
    inserted: dict[str, Any],
    names: set[str],
) -> Iterator[Request]:
    typed = ALL[table].__table__.columns
    made = sa.table(table, *(sa.column(one.name, one.type) for one in typed if one.name in names))
    columns = [made.c[name] for name in shown]
    where = made.c[key]
    given = {"id": UUID, **inserted}
    times: list[str] = [name for name in ("inserted_at", "updated_at") if name in names]
    if "params" in names:
        times.append("params")
    literals = {"params": "CAST('{}' AS jsonb)"}
    yield Request(
        KINDS[0],
        table,
        f"SELECT * FROM {table} WHERE {key} = %s",
        (value,),
        lambda v: sa.select(sa.text("*")).select_from(made).where(where == v[0]),
    )
    yield Request(
        KINDS[1],
        table,
        f"SELECT {', '.join(shown)} FROM {table} WHERE {key} = %s",
        (value,),
        lambda v: sa.select(*columns).where(where == v[0]),
    )
    yield Request(
        KINDS[2],
        table,
        f"INSERT INTO {table} ({', '.join([*given, *times])}) VALUES ({', '.join(['%s'] * len(given))}"
        f"{''.join(f', {literals.get(name, NOW)}' for name in times)}) RETURNING {', '.join(shown)}",
        tuple(given.values()),
        lambda v: (
            sa.insert(made)
            .values(
                {
                    **dict(zip(given, v, strict=True)),
                    **{name: sa.literal_column(literals.get(name, NOW)) for name in times},
                }
            )
            .returning(*columns)
        ),
    )
    yield Request(
        KINDS[3],
        table,
        f"UPDATE {table} SET {changed} = %s WHERE {key} = %s",
        ("y", value),
        lambda v: sa.update(made).values({changed: v[0]}).where(where == v[1]),
    )


Ask = Callable[[Request], None]
Open = Callable[[str], Any]


@contextmanager
def plain_psycopg(
    url: str, *, autocommit: bool, threshold: int | None, handler: bool = False
) -> Iterator[Ask]:
    """An application that uses psycopg alone, with the two lines of `renewed` or without."""
    with psycopg.connect(url, autocommit=autocommit, prepare_threshold=threshold) as connection:

        def once(request: Request) -> None:
            cursor = connection.execute(request.text.encode(), request.fresh())
            if cursor.description:
                cursor.fetchall()

        def ask(request: Request) -> None:
            try:
                try:
                    once(request)
                except psycopg.Error as error:
                    if not (handler and renewed(connection, error)):
                        raise
                    once(request)
            except psycopg.Error:
                connection.rollback()
                raise
            connection.commit()

        yield ask


@contextmanager
def plain_asyncpg(
    url: str, *, cache: int = 100, transactions: bool = False, handler: bool = False
) -> Iterator[Ask]:
    """An application that uses asyncpg alone, with the two lines of `arenewed` or without."""
    asyncpg: Any = import_module("asyncpg")
    with asyncio.Runner() as runner:
        connection = runner.run(_connected(asyncpg, url, cache))

        async def once(request: Request) -> None:
            if transactions:
                async with connection.transaction():
                    await connection.fetch(request.numbered, *request.fresh())
            else:
                await connection.fetch(request.numbered, *request.fresh())

        async def send(request: Request) -> None:
            try:
                await once(request)
            except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                if not (handler and await arenewed(connection, error)):
                    raise
                await once(request)

        try:
            yield lambda request: runner.run(send(request))
        finally:
            runner.run(connection.close())


async def _connected(asyncpg: Any, url: str, cache: int) -> Any:
    return await asyncpg.connect(url, statement_cache_size=cache)


@contextmanager
def models(url: str, *, isolation: str | None = None, **connect: Any) -> Iterator[Ask]:
    """An application that uses the models over psycopg."""
    options: dict[str, Any] = {"isolation_level": isolation} if isolation else {}
    engine = sa.create_engine(
        url.replace("postgresql://", "postgresql+psycopg://"),
        pool_size=1,
        max_overflow=0,
        connect_args=connect,
        **options,
    )
    heal(engine)

    def ask(request: Request) -> None:
        with engine.begin() as connection:
            result = connection.execute(request.build(request.fresh()))
            if result.returns_rows:
                result.all()

    try:
        yield ask
    finally:
        engine.dispose()


@contextmanager
def async_models(url: str, driver: str, *, isolation: str | None = None, **connect: Any) -> Iterator[Ask]:
    """An application that uses the models over an asynchronous driver."""
    from sqlalchemy.ext.asyncio import create_async_engine

    options: dict[str, Any] = {"isolation_level": isolation} if isolation else {}
    with asyncio.Runner() as runner:
        engine = create_async_engine(
            url.replace("postgresql://", f"postgresql+{driver}://"),
            pool_size=1,
            max_overflow=0,
            connect_args=connect,
            **options,
        )
        heal(engine)

        async def send(request: Request) -> None:
            async with engine.begin() as connection:
                result = await connection.execute(request.build(request.fresh()))
                if result.returns_rows:
                    result.all()

        try:
            yield lambda request: runner.run(send(request))
        finally:
            runner.run(engine.dispose())


@contextmanager
def ecto(url: str) -> Iterator[Ask]:
    """An Elixir application with pgvector's types, compiled for what it finds: the stand-in for its client."""
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "SELECT EXISTS (SELECT FROM information_schema.columns"
            " WHERE table_name = 'tala_operations' AND column_name = 'session_id' AND data_type = 'uuid')"
        ).fetchone()
    uuids = bool(found and found[0])

    def encoded(request: Request) -> Iterator[Any]:
        for value in request.fresh():
            if (
                uuids
                and request.table == "tala_operations"
                and isinstance(value, str)
                and len(value) == LENGTH
            ):
                yield UUID(value).bytes
            else:
                yield value.bytes if isinstance(value, UUID) else value

    with Repo(url, 1, vectors=True) as repo:

        def ask(request: Request) -> None:
            repo.query(request.numbered, *encoded(request))

        yield ask


@dataclass(frozen=True, slots=True)
class Application:
    """A kind of client.

    Args:
        name: What the table calls it.
        open: Opens its connection.
        pooled: Whether it goes through PgBouncer in transaction mode.
        healed: Whether this package promises that it recovers.
        stars: Whether it sends SELECT *, which Ecto never does.
    """

    name: str
    open: Open
    pooled: bool = False
    healed: bool = False
    stars: bool = True


def _bare(**options: Any) -> Open:
    return lambda url: plain_psycopg(url, **options)


def _models(**options: Any) -> Open:
    return lambda url: models(url, **options)


def _async(driver: str, **options: Any) -> Open:
    return lambda url: async_models(url, driver, **options)


# SQLAlchemy prepares each statement over asyncpg, and the sessions of the server are shared: no name may come twice.
_NAMELESS: dict[str, Any] = {"prepared_statement_name_func": lambda: f"__{uuid4()}__"}

APPLICATIONS = (
    Application("psycopg, autocommit, threshold 0", _bare(autocommit=True, threshold=0)),
    Application("psycopg, autocommit, threshold 5", _bare(autocommit=True, threshold=5)),
    Application(
        "psycopg, autocommit, `renewed`", _bare(autocommit=True, threshold=0, handler=True), healed=True
    ),
    Application("psycopg, transactions", _bare(autocommit=False, threshold=0)),
    Application(
        "psycopg, transactions, `renewed`", _bare(autocommit=False, threshold=0, handler=True), healed=True
    ),
    Application("asyncpg", plain_asyncpg),
    Application("asyncpg, `arenewed`", lambda url: plain_asyncpg(url, handler=True), healed=True),
    Application("asyncpg, transactions", lambda url: plain_asyncpg(url, transactions=True)),
    Application(
        "asyncpg, transactions, `arenewed`",
        lambda url: plain_asyncpg(url, transactions=True, handler=True),
        healed=True,
    ),
    Application("models, psycopg", _models(prepare_threshold=0), healed=True),
    Application(
        "models, psycopg, AUTOCOMMIT", _models(isolation="AUTOCOMMIT", prepare_threshold=0), healed=True
    ),
    Application("models, psycopg async", _async("psycopg", prepare_threshold=0), healed=True),
    Application("models, asyncpg", _async("asyncpg"), healed=True),
    Application("models, asyncpg, AUTOCOMMIT", _async("asyncpg", isolation="AUTOCOMMIT"), healed=True),
    Application("Ecto (Postgrex)", ecto, stars=False),
    Application("PgBouncer: psycopg, nothing prepared", _bare(autocommit=True, threshold=None), pooled=True),
    Application("PgBouncer: psycopg, prepared", _bare(autocommit=True, threshold=0), pooled=True),
    Application("PgBouncer: asyncpg, nothing prepared", lambda url: plain_asyncpg(url, cache=0), pooled=True),
    Application(
        "PgBouncer: models, nothing prepared", _models(prepare_threshold=None), pooled=True, healed=True
    ),
    Application(
        "PgBouncer: models, asyncpg, nothing prepared",
        _async("asyncpg", statement_cache_size=0, prepared_statement_cache_size=0, **_NAMELESS),
        pooled=True,
        healed=True,
    ),
    Application("PgBouncer: models, prepared", _models(prepare_threshold=0), pooled=True, healed=True),
)


@dataclass(slots=True)
class Seen:
    """What a client has met with one kind of statement.

    Args:
        failures: How many statements failed from the change on.
        lost: The tables of which the last statement failed.
        errors: What the server or the driver said, by its SQLSTATE or its name.
    """

    failures: int = 0
    lost: set[str] = field(default_factory=set)
    errors: set[str] = field(default_factory=set)


class Client:
    """One connection of an application, on a thread of its own.

    Args:
        application: Which one.
        url: Where it connects.
        asked: What it sends.
    """

    def __init__(self, application: Application, url: str, asked: Sequence[Request]) -> None:
        self.application = application
        self._url = url
        self._asked = [one for one in asked if application.stars or one.kind != KINDS[0]]
        self.rounds = 0
        self.unfit: str | None = None
        self.seen: dict[str, Seen] = defaultdict(Seen)
        self.changing = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def wait(self, rounds: int) -> None:
        """Wait until it has sent everything so often."""
        give_up = time.monotonic() + PATIENCE
        until = self.rounds + rounds
        while self.rounds < until and self._thread.is_alive():
            if time.monotonic() > give_up:
                raise TimeoutError(f"{self.application.name} hangs")
            time.sleep(0.01)

    def end(self) -> None:
        """Close its connection."""
        self._over.set()
        self._thread.join(PATIENCE)

    def _run(self) -> None:
        try:
            with self.application.open(self._url) as ask:
                while not self._over.is_set():
                    for request in self._asked:
                        self._one(ask, request)
                    self.rounds += 1
                    self._over.wait(PAUSE)
        except Exception as error:  # noqa: BLE001 - whatever a client meets is what is measured
            self.unfit = f"{type(error).__name__}: {error}"[:200]

    def _one(self, ask: Ask, request: Request) -> None:
        change = self.changing.is_set()
        seen = self.seen[request.kind]
        try:
            ask(request)
            seen.lost.discard(request.table)
        except Exception as error:  # noqa: BLE001 - whatever a client meets is what is measured
            if not change:
                self.unfit = self.unfit or f"{request.text}: {error}"[:300]
            seen.failures += 1
            seen.lost.add(request.table)
            seen.errors.add(_named(error))


def _named(error: BaseException) -> str:
    origin = getattr(error, "orig", None) or error
    state = getattr(origin, "sqlstate", None) or getattr(origin, "code", None)
    return str(state or type(origin).__name__)


@dataclass(frozen=True, slots=True)
class Change:
    """One change, and what it did to whom.

    Args:
        name: What the table calls it.
        clients: The clients that were connected.
        seconds: How long it took.
        longest: The longest that any request waited for a lock of it, in milliseconds, as the server counts.
    """

    name: str
    clients: list[Client]
    seconds: float
    longest: float


def diwa(*words: str, url: str) -> None:
    """Make a change as the owner does, in a process of its own."""
    subprocess.run(
        [sys.executable, "-m", "diwa_schema", *words, "--url", url, "--repo", "diwa-schema", "--allow-stall"],
        cwd=Path(__file__).parents[1],
        check=True,
        capture_output=True,
        text=True,
    )


def measured(
    name: str, url: str, pooled: str, applications: Iterable[Application], make: Callable[[], None]
) -> Change:
    """Let applications work while a change is made, and return what they met."""
    seed(url)
    asked = requests(url)
    clients = [Client(one, pooled if one.pooled else url, asked) for one in applications]
    try:
        for client in clients:
            client.wait(ROUNDS)
        for client in clients:
            client.changing.set()
        with Stalls(url, application="") as stalls:
            began = time.monotonic()
            make()
            took = time.monotonic() - began
        for client in clients:
            client.wait(3)
    finally:
        for client in clients:
            client.end()
    return Change(name, clients, took, stalls.longest(url))


def seed(url: str) -> None:
    """Write the rows that the requests are about, into the tables that are there."""
    rows = {
        "organizations": {"id": ROW, "name": "o"},
        "contexts": {"id": ROW, "organization_id": ROW, "name": "c"},
        "memories": {"id": ROW, "context_id": ROW, "content": "m", "organization_id": ROW},
        "tala_operations": {
            "id": ROW,
            "session_id": SESSION,
            "context_id": ROW,
            "tool_name": "t",
            "params": "{}",
        },
    }
    with psycopg.connect(url, autocommit=True) as connection:
        for table, columns in there(connection).items():
            if table in rows:
                given = {name: value for name, value in rows[table].items() if name in columns}
                given |= {name: MOMENT for name in ("inserted_at", "updated_at") if name in columns}
                connection.execute(
                    f"INSERT INTO {table} ({', '.join(given)}) VALUES ({', '.join(['%s'] * len(given))})"
                    " ON CONFLICT DO NOTHING".encode(),
                    [str(value) for value in given.values()],
                )


def bytes_only(url: str) -> None:
    """Make the embeddings of a database at head bytes, as where pgvector came later."""
    with psycopg.connect(url, autocommit=True) as connection:
        for table in ("memories", "embedding_cache"):
            connection.execute(
                f"ALTER TABLE {table} DROP COLUMN embedding, ADD COLUMN embedding bytea".encode()
            )


def changes(bench: Bench, applications: Sequence[Application], only: Sequence[str] = ()) -> Iterator[Change]:
    """Make one change after the other, and give what each did.

    Args:
        bench: Where.
        applications: Who is connected.
        only: The names of the changes to measure; by default all.
    """
    with ExitStack() as stack:
        pooler = Pooler(bench.server, "transaction")
        stack.callback(pooler.close)

        def over(url: str, name: str, make: Callable[[], None]) -> Iterator[Change]:
            if only and name not in only:
                make()
                return
            pooled = pooler.url(name_of(url))
            yield measured(name, url, pooled, applications, make)

        def step(url: str, name: str, *words: str) -> Iterator[Change]:
            yield from over(url, name, lambda: diwa(*words, url=url))

        with bench.database() as url:
            diwa("upgrade", FIRST, url=url)
            seed(url)
            for revision in load().between(FIRST, load().head):
                yield from step(url, f"{revision.revision} {revision.slug}", "upgrade", revision.revision)
            index = OPTIONAL[0].index.name
            yield from step(url, "index enable", "index", "enable", index)
            # What the clients have written has values that the earlier revisions have no column for.
            lossy = ("--confirm", name_of(url))
            yield from step(url, f"downgrade to {BEFORE_IDS}", "downgrade", BEFORE_IDS, *lossy)
            yield from step(url, f"downgrade to {BEFORE_VECTORS}", "downgrade", BEFORE_VECTORS, *lossy)
        with bench.database() as url:
            diwa("upgrade", url=url)
            seed(url)
            bytes_only(url)
            yield from step(url, "enable-vector", "enable-vector")
            yield from step(url, "disable-vector", "disable-vector")
        for shape in ("head_fresh", "both_marked_bytes"):
            with bench.database() as url:
                shapes.write(url, shapes.SHAPES[shape], rows=True)
                seed(url)
                yield from step(url, f"adopt ({shape})", "adopt")
                yield from step(url, f"upgrade after adopt ({shape})", "upgrade")


def cell(seen: Iterable[Seen], unfit: str | None = None) -> str:
    """Return what one cell of a table shows: failures, and a cross where the last statements still failed."""
    if unfit:
        return "unfit"
    all_ = list(seen)
    failures, lost = sum(one.failures for one in all_), any(one.lost for one in all_)
    return f"{failures}{' ✗' if lost else ''}" if failures else "·"


def noticed(change: Change) -> bool:
    """Tell whether anything failed for a client that had worked before."""
    return any(
        seen.failures for client in change.clients if not client.unfit for seen in client.seen.values()
    )


def summary(found: Sequence[Change]) -> str:
    """Return the table of the changes that somebody noticed, a row a client, and how long each change made wait."""
    shown = [change for change in found if noticed(change)]
    lines = [
        f"| {' | '.join(['client', *(str(found.index(one) + 1) for one in shown)])} |",
        f"|{'---|' * (len(shown) + 1)}",
    ]
    for number, client in enumerate(found[0].clients):
        cells = [cell(one.clients[number].seen.values(), one.clients[number].unfit) for one in shown]
        lines.append(f"| {' | '.join([client.application.name, *cells])} |")
    lines += ["", "| | change | longest wait, ms | noticed |", "|---|---|---|---|"]
    for number, one in enumerate(found, 1):
        lines.append(f"| {number} | {one.name} | {one.longest:.0f} | {'yes' if noticed(one) else 'no'} |")
    return "\n".join(lines)


def detail(change: Change) -> str:
    """Return the table of one change: a row a client that noticed it, a column a kind of statement."""
    lines = [
        f"**{change.name}**",
        "",
        f"| client | {' | '.join(KINDS)} | errors |",
        f"|{'---|' * (len(KINDS) + 2)}",
    ]
    for client in change.clients:
        errors = sorted({error for seen in client.seen.values() for error in seen.errors})
        if errors and not client.unfit:
            cells = [cell([client.seen[kind]]) for kind in KINDS]
            lines.append(f"| {client.application.name} | {' | '.join(cells)} | {', '.join(errors)} |")
    return "\n".join(lines)


def broken(change: Change) -> list[str]:
    """Return which promises a change has broken: a healed client fails at most once, and recovers."""
    found = []
    for client in change.clients:
        seen = client.seen.values()
        failures, lost = sum(one.failures for one in seen), any(one.lost for one in seen)
        if client.application.healed and not client.unfit and (failures > 1 or lost):
            found.append(
                f"{change.name}: {client.application.name} failed {failures} times{', for good' if lost else ''}"
            )
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Return 1 where a client that should recover by itself did not."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.open_connections", description=__doc__)
    parser.add_argument("changes", nargs="*", metavar="CHANGE", help="only these (all)")
    args = parser.parse_args(argv)
    found = []
    with ExitStack() as stack:
        # PgBouncer reaches a server at an address; the embedded one may have none.
        url = os.environ.get(VARIABLE)
        if url is None:
            own = OwnServer()
            stack.callback(own.close)
            url = own.admin_url
        for change in changes(Bench(Address(url), Path()), APPLICATIONS, args.changes):
            sys.stderr.write(f"{change.name}: {change.seconds:.1f} s\n")
            found.append(change)
    print(summary(found))
    for change in found:
        if noticed(change):
            print(f"\n{detail(change)}")
    for client in {
        one.application.name: one for change in found for one in change.clients if one.unfit
    }.values():
        print(f"\nunfit: {client.application.name}: {client.unfit}")
    wrong = [line for change in found for line in broken(change)]
    print(
        "\n"
        + ("\n".join(wrong) or "Every client that should recover by itself did, with one failure at most.")
    )
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
