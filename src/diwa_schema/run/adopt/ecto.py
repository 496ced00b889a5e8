"""Coexistence with Ecto, while an adopted database still has its list of versions.

Ecto's own tasks keep working after a takeover, and both would do harm: `mix ecto.rollback` drops a revision's columns
with their contents, and `mix ecto.migrate` repeats the same work. At every revision the list therefore contains what
Ecto would have written, Ecto's migrator and a run exclude each other, and the database lets nobody else change the
list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, Self

from diwa_schema.database import lock
from diwa_schema.database.bookkeeping import Bookkeeping
from diwa_schema.database.failures import LOCK_TIMEOUT, is_driver_error, sqlstate
from diwa_schema.database.state import ECTO, State
from diwa_schema.migrations.ecto import AGENT, AGENTS_TABLES, LAST, is_ours
from diwa_schema.migrations.manifest import load
from diwa_schema.names import code, literal, qualified

if TYPE_CHECKING:
    from diwa_schema.database.link import Link
    from diwa_schema.database.target import Target
    from diwa_schema.run.settings import Progress

KEEPER = "diwa_schema_keep_versions"
_MESSAGE = (
    f"{ECTO} is kept by diwa-schema, whose revisions change this schema: run diwa-schema upgrade or downgrade"
)

_HOLDER = """
SELECT l.pid, a.usename::text, a.application_name FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_stat_activity a ON a.pid = l.pid
WHERE n.nspname = %s AND c.relname = %s AND l.granted AND l.pid <> pg_backend_pid()
ORDER BY array_position(ARRAY['ShareUpdateExclusiveLock', 'RowExclusiveLock'], l.mode) LIMIT 1
"""


# Including a disabled trigger, which is the documented way out.
_KEPT = """
SELECT 1 FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s AND t.tgname = %s
"""


class Keeper(NamedTuple):
    """The keeper of Ecto's table: it writes the rows that Ecto would have written.

    Args:
        books: The tables of the schema, on the connection of the transaction.
        active: Whether the database has that table, and the table is about this schema.
    """

    books: Bookkeeping
    active: bool

    @classmethod
    def of(cls, books: Bookkeeping, state: State) -> Keeper:
        """Return the keeper of a database."""
        return cls(books, is_ours(state.ecto))

    def record(self, revision: str, *, applied: bool) -> None:
        """Record a revision as applied, or remove its record, inside the caller's transaction.

        The agent's own migration stays on record from the creation of its two tables until base: a second run of it
        would fail at each start of the agent.
        """
        if not self.active:
            return
        listed = [revision] if revision <= LAST else []
        if (revision == AGENTS_TABLES and not self._has_agents()) if applied else revision == load().ids[0]:
            listed.append(str(AGENT))
        if listed:
            with self._unkept():
                for version in listed:
                    self.books.record_in_ecto(version, applied=applied)

    def _has_agents(self) -> bool:
        table = qualified(self.books.schema, ECTO)
        return bool(self.books.link.value(f"SELECT 1 FROM {table} WHERE version = %s", (AGENT,)))

    def keep(self) -> None:
        """Let only a run change the list of a SQLite file; `MigratorKeptOut` protects that of PostgreSQL."""
        link = self.books.link
        if not self.active or link.dialect != "sqlite" or self._triggers():
            return
        for event in ("INSERT", "UPDATE", "DELETE"):
            link.execute(
                f"CREATE TRIGGER {KEEPER}_{event.lower()} BEFORE {event} ON {ECTO}"
                f" BEGIN SELECT RAISE(ABORT, '{_MESSAGE}'); END"
            )

    def release(self) -> None:
        """Give the list of a SQLite file back to Ecto after the last table of the schema is gone."""
        for name in self._triggers() if self.books.link.dialect == "sqlite" else ():
            self.books.link.execute(f"DROP TRIGGER {name}")

    @contextmanager
    def _unkept(self) -> Iterator[None]:
        """Let a run change the list: SQLite's triggers cannot recognise one, so they are dropped and created again."""
        link = self.books.link
        if link.dialect == "postgresql":
            link.set({"diwa_schema.run": "on"}, local=True)
            yield
            return
        kept = bool(self._triggers())
        self.release()
        yield
        if kept:
            self.keep()

    def _triggers(self) -> list[str]:
        rows = self.books.link.rows(
            "SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE %s", (f"{KEEPER}%",)
        )
        return [row[0] for row in rows]


class MigratorKeptOut:
    """The lock of Ecto's migrator, held during the block: it keeps the migrator out, and waits for a working one.

    Ecto holds it in a separate transaction during its work, so a separate connection holds it here: the working
    connection commits after each revision. Like every lock of a run, it is polled for and never waited for.

    At the end of the block, a trigger lets only a run change the list; it is dropped if nothing of the schema is
    left. Creating a trigger needs a stronger lock on the table than the held one, so it happens on this connection.

    Args:
        target: The database.
        books: The package's own tables of the schema.
        state: The state of the database; without Ecto's list, or with that of another application, nothing is locked
            or kept.
        wait: The longest wait for Ecto, in seconds.
        progress: The receiver of messages.
        waits: The receiver of messages about the wait.
    """

    def __init__(
        self,
        target: Target,
        books: Bookkeeping,
        state: State,
        wait: float,
        progress: Progress,
        waits: Callable[[str], None],
    ) -> None:
        self._waits = waits
        self._target = target
        self._books = books
        self._wait = wait
        self._progress = progress
        self._active = is_ours(state.ecto) and target.dialect == "postgresql"
        self._link: Link | None = None

    def __enter__(self) -> Self:
        """Take the lock.

        Raises:
            MigrationLockBusy: Ecto's migrator held it all the time.
        """
        if self._active:
            self._link = self._target.connect("diwa-schema beside Ecto")
            try:
                self._link.set({"idle_in_transaction_session_timeout": "0"})
                lock.poll(
                    _ListLock(self._link, self._books.schema),
                    self._wait,
                    self._waits,
                    waiting="a migrator of Ecto:",
                    busy=f"A migrator of Ecto is at work on {self._target.shown} and holds its lock",
                )
            except BaseException:
                self._link.close()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        """Release the lock."""
        if self._link is not None:
            self._link.abandon()
            self._link.close()

    def settle(self, revision: str | None) -> None:
        """Protect the list of a database at a revision, and give it back to Ecto at base."""
        link = self._link
        if link is None:
            return
        link.set({"lock_timeout": "1s"}, local=True)
        try:
            if revision is None:
                self._release(link)
            elif not link.value(_KEPT, (self._books.schema, ECTO, KEEPER)):
                self._keep(link)
            link.execute("COMMIT")
        except Exception as error:
            if not is_driver_error(error) or sqlstate(error) != LOCK_TIMEOUT:
                raise
            self._progress.say(f"{ECTO} is in use, so its protection is unchanged; the next run sets it")

    def _keep(self, link: Link) -> None:
        # ENABLE ALWAYS, because a session that applies changes of a replica, or claims to, is not a run either.
        table = qualified(self._books.schema, ECTO)
        function = qualified(self._books.schema, KEEPER)
        way_out = f"ALTER TABLE {ECTO} DISABLE TRIGGER {KEEPER} gives the list back to Ecto."
        body = (
            " BEGIN IF current_setting('diwa_schema.run', true) IS DISTINCT FROM 'on' THEN RAISE EXCEPTION USING"
            f" MESSAGE = {literal(_MESSAGE)}, HINT = {literal(way_out)}; END IF; RETURN NULL; END "
        )
        link.script(
            f"CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog"
            f" AS {code(body)};"
            f"CREATE TRIGGER {KEEPER} BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table}"
            f" FOR EACH STATEMENT EXECUTE FUNCTION {function}();"
            f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {KEEPER}"
        )

    def _release(self, link: Link) -> None:
        link.execute(f"DROP TRIGGER IF EXISTS {KEEPER} ON {qualified(self._books.schema, ECTO)}")
        link.execute(f"DROP FUNCTION IF EXISTS {qualified(self._books.schema, KEEPER)}()")


class _ListLock(NamedTuple):
    """The lock of Ecto's migrator, in a transaction that the attempt begins.

    Args:
        link: A separate connection.
        schema: The schema of Ecto's list.
    """

    link: Link
    schema: str

    def attempt(self) -> bool:
        """Take the lock if it is free.

        A migrator with `migration_lock: :pg_advisory_lock` does not take it, and its own key is unknown. Its
        uncommitted rows in the list keep a stronger lock away. The attempt gives that lock back at once, because it
        would keep the run itself from writing.
        """
        table = qualified(self.schema, ECTO)
        self.link.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
        try:
            self.link.execute(f"LOCK TABLE {table} IN SHARE UPDATE EXCLUSIVE MODE NOWAIT")
            self.link.execute("SAVEPOINT written")
            self.link.execute(f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE NOWAIT")
            self.link.execute("ROLLBACK TO SAVEPOINT written")
        except Exception as error:
            self.link.abandon()
            if is_driver_error(error) and sqlstate(error) == LOCK_TIMEOUT:
                return False
            raise
        return True

    def holder(self) -> str:
        """Describe its holder."""
        row = self.link.row(_HOLDER, (self.schema, ECTO))
        return lock.session(*row) if row else "one that is just ending"
