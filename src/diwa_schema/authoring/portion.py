"""Some of a database's own rows, in the temporary tables of a shadow, to measure revisions with.

They are read in place, in a few ranges of each large table, and referenced rows are read by their keys. Only temporary
tables are written; each statement is short and holds no lock that blocks others.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from diwa_schema.authoring.samples import in_order, is_filled
from diwa_schema.database.failures import cause, connection_lost, is_driver_error
from diwa_schema.names import cut, qualified, quoted

if TYPE_CHECKING:
    from diwa_schema.database.link import Link
    from diwa_schema.drift.model import Catalog, ForeignKey, Table
    from diwa_schema.run.plan import Size

_FEW = 10_000  # rows
_SMALL = 4_000_000  # bytes
_ROWS = 20_000
_BYTES = 16_000_000
_STRETCHES = 8
# In blocks, to learn the rows of a block and the time to read it.
_LOOKED = 200
_READ = 4_000

_READING = {"statement_timeout": "5s", "max_parallel_workers_per_gather": "0"}
# Referenced rows are looked up by their keys, so no large table is read completely.
_CARRYING = _READING | {"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off"}
_BLOCKS = "SELECT (pg_relation_size(to_regclass(%s)) / current_setting('block_size')::int)::int"
_COLUMNS = """
SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute
WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
"""


def is_large(size: Size) -> bool:
    """Return whether work on a table takes long enough to measure."""
    return (size.rows or 0) >= _FEW or size.size >= _SMALL


class Measured(NamedTuple):
    """A large table and its measurements.

    Args:
        rows: The number of its rows, estimated from the part that was read.
        taken: The number of its rows in the shadow.
        read: The time to read one of its rows, in seconds.
        own: The time to read one of its rows in the shadow, in seconds.
    """

    rows: float
    taken: int
    read: float
    own: float


class _Read(NamedTuple):
    """The result of reading a part of a table: its rows, the rows of a block, and the seconds for each row."""

    rows: float
    density: float
    each: float


class Portion:
    """Rows of a database for the tables of its shadow.

    Args:
        schema: The schema of the database.
        large: The tables whose rows are used, with their sizes.
    """

    def __init__(self, schema: str, large: Mapping[str, Size]) -> None:
        self._schema, self.large = schema, large
        self.measured: dict[str, Measured] = {}
        self.failed: dict[str, str] = {}

    def fill(self, link: Link, catalog: Catalog) -> None:
        """Put the rows into the shadow's tables, which are empty, and measure how long it takes to read rows.

        The attribute `failed` has each table that could not be measured, with the server's message.
        """
        self._link, self._shadow = link, str(link.value("SELECT current_schema()"))
        before = {name: str(link.value("SELECT current_setting(%s)", (name,))) for name in _CARRYING}
        tables, read = in_order(catalog), dict[str, _Read]()
        try:
            link.set(_READING)
            for table in tables:
                if table.name in self.large:
                    with self._tried(table):
                        read[table.name] = self._read(table.name)
            link.set(_CARRYING)
            self._staged: dict[str, list[str]] = {}
            for table in reversed(tables):
                with self._tried(table):
                    self._stage(table, tables, read.get(table.name))
            for table in tables:
                if table.name in self._staged:
                    with self._tried(table):
                        self._insert(table)
                    link.execute(f"DROP TABLE {_stage(table.name)}")
        finally:
            link.set(before)
        for name, found in read.items():
            taken = self._count(name)
            if taken and name not in self.failed:
                own = min(self._timed(f"SELECT count(*) FROM {self._own(name)}")[1] for _ in range(2)) / taken
                new = Measured(found.rows, taken, found.each, own)
                last = self.measured.get(name, new)
                self.measured[name] = new._replace(
                    read=(new.read + last.read) / 2, own=(new.own + last.own) / 2
                )

    def _read(self, table: str) -> _Read:
        """Read a bounded part of a table, in the way of a statement over the whole table."""
        real, blocks = self._real(table), int(self._link.value(_BLOCKS, (self._real(table),)))
        looked = list(_stretches(blocks, _LOOKED))
        rows = sum(self._timed(f"SELECT count(*) FROM {real} t WHERE {_within(*one)}")[0] for one in looked)
        density = rows / max(sum(last - first for first, last in looked), 1)
        most = max(int(_READ * density), 1)
        # A line pointer is in no index, so the table itself is read.
        counted, took = self._timed(f"SELECT count(*) FROM (SELECT ctid FROM {real} LIMIT {most}) AS t")
        return _Read(blocks * density, density, took / max(counted, 1))

    def _stage(self, table: Table, tables: list[Table], read: _Read | None) -> None:
        """Collect the rows for a table: some of its own, and those that other rows refer to."""
        names = self._common(table)
        listed, real = _list(names, "t"), self._real(table.name)
        wanted: list[str] = []
        if read is not None and read.rows:
            rows = min(_ROWS, _BYTES * read.rows / self.large[table.name].size)
            blocks = int(read.rows / read.density)
            wanted += [_within(*one) for one in _stretches(blocks, int(rows / read.density))]
        wanted += [
            f"({_list(pairs.values(), 't')}) IN (SELECT {_list(pairs)} FROM {_stage(other.name)})"
            for other in tables
            if other.name in self._staged
            for key in _elsewhere(other)
            if key.references == table.name and (pairs := _pairs(key, self._staged[other.name]))
        ]
        key = table.primary_key.columns if table.primary_key else ()
        if not wanted or not set(key) <= set(names):
            return
        parts = " UNION ALL ".join(f"SELECT {listed} FROM {real} t WHERE {one}" for one in wanted)
        # In the order of the table, because the position of rows decides the cost of writing them.
        self._link.execute(f"CREATE TEMP TABLE {_stage(table.name)} AS {parts}")
        self._staged[table.name] = names

    def _insert(self, table: Table) -> None:
        """Insert the collected rows into a table; a row whose own reference is missing is left out."""
        itself = {key.columns[0] for key in table.foreign_keys if key.references == table.name}
        names = [one for one in self._staged[table.name] if one not in itself]
        listed = _list(names)
        there = " AND ".join(
            f"(({_list(pairs, 's')}) IS NULL OR EXISTS (SELECT FROM {self._own(key.references)} p"
            f" WHERE ({_list(pairs.values(), 'p')}) = ({_list(pairs, 's')})))"
            for key in _elsewhere(table)
            if (pairs := _pairs(key, names))
        )
        self._link.execute(
            f"INSERT INTO {self._own(table.name)} ({listed}) SELECT {listed} FROM {_stage(table.name)} s"
            f" WHERE {there or 'true'} ON CONFLICT DO NOTHING"
        )
        self._link.execute(f"VACUUM ANALYZE {self._own(table.name)}")

    def _common(self, table: Table) -> list[str]:
        """Return the common columns of the same type that no trigger fills."""
        there = dict(self._link.rows(_COLUMNS, (self._real(table.name),)))
        filled = {one.name for one in table.columns if is_filled(table, one)}
        own = self._link.rows(_COLUMNS, (self._own(table.name),))
        return [name for name, kind in own if there.get(name) == kind and name not in filled]

    @contextmanager
    def _tried(self, table: Table) -> Iterator[None]:
        """Let the server refuse the work for a table: the refusal is noted, and the other tables continue."""
        try:
            yield
        except Exception as error:
            if not is_driver_error(error) or connection_lost(error):
                raise
            # Its first line: the others may contain values of the row.
            self.failed[table.name] = str(cause(error)).splitlines()[0]

    def _timed(self, sql: str) -> tuple[int, float]:
        began = time.perf_counter()
        value = self._link.value(sql)
        return int(value), time.perf_counter() - began

    def _count(self, table: str) -> int:
        return self._timed(f"SELECT count(*) FROM {self._own(table)}")[0]

    def _real(self, table: str) -> str:
        return qualified(self._schema, table)

    def _own(self, table: str) -> str:
        return qualified(self._shadow, table)


def _elsewhere(table: Table) -> Iterator[ForeignKey]:
    return (key for key in table.foreign_keys if key.references != table.name)


def _pairs(key: ForeignKey, names: Sequence[str]) -> dict[str, str]:
    """Return the referent of each of these columns that is part of a key."""
    return {one: other for one, other in zip(key.columns, key.ref_columns, strict=True) if one in names}


def _list(names: Iterable[str], table: str = "") -> str:
    return ", ".join(f"{table}.{quoted(one)}" if table else quoted(one) for one in names)


def _stretches(blocks: int, most: int) -> Iterator[tuple[int, int]]:
    """Yield stretches of a table, from and up to a block, spread over it: together about so many blocks."""
    each = max(1, most // _STRETCHES)
    if blocks <= each * _STRETCHES:
        yield 0, max(blocks, 1)
        return
    for number in range(_STRETCHES):
        first = number * (blocks - each) // (_STRETCHES - 1)
        yield first, first + each


def _within(first: int, last: int) -> str:
    return f"t.ctid >= '({first},0)' AND t.ctid < '({last},0)'"


def _stage(table: str) -> str:
    return f"pg_temp.{quoted(cut(f'diwa_schema_portion_{table}'))}"
