"""The revisions that lead from the history to the models, each in a form that is safe on a table in use.

The models are built in one empty database and the history in another; the revisions must remove the differences of
their catalogs. The comparison is that of `check`, so it includes conditions, directions and operator classes. One
change can take several revisions: a step that reads or writes rows, or waits for others, is a separate revision.

Decisions that only a person can make are never guessed: whether a removed and an added column are a renamed one, and
which value existing rows get in a new NOT NULL column. Without an answer, the command fails with a question.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from diwa_schema.api import migrate
from diwa_schema.authoring import written
from diwa_schema.authoring.rules.columns import CONSTANT
from diwa_schema.authoring.written import names, text
from diwa_schema.database.alchemy import connection_over
from diwa_schema.database.target import Target
from diwa_schema.drift.compare import Finding, findings, with_names
from diwa_schema.drift.model import Catalog, Column, Index, Table
from diwa_schema.drift.read import at_head, read
from diwa_schema.drift.rules import expected_in
from diwa_schema.errors import UsageError
from diwa_schema.generate import ours
from diwa_schema.migrations import manifest, pgvector
from diwa_schema.migrations.renamed import drafted
from diwa_schema.models.rule import with_names as renamed_in
from diwa_schema.models.rules import KEPT
from diwa_schema.run.settings import Settings

if TYPE_CHECKING:
    import sqlalchemy as sa

    from diwa_schema.testing.scratch import Scratch

# The order of creation: an object comes before its dependents. Other kinds have no draft.
_ORDER = ("table", "column", "index", "foreign key", "check")
_LEFT = '"""Leave the rows as they are."""'


@dataclass(frozen=True, slots=True)
class Answers:
    """The decisions of a person.

    Args:
        renamed: The new name of each column that got one, by ``table.column``.
        dropped: The columns, as ``table.column``, that are dropped although a new one could be their new name.
        fills: The value of existing rows in a column, as SQL, by ``table.column``.
        contract: Whether running code may break.
    """

    renamed: Mapping[str, str] = field(default_factory=dict)
    dropped: Collection[str] = ()
    fills: Mapping[str, str] = field(default_factory=dict)
    contract: bool = False


@dataclass(frozen=True, slots=True)
class Piece:
    """The work of one revision.

    Args:
        title: The work in a few words, such as ``index memories_mood_index``.
        upgrade: The code of its upgrade, one call per line.
        downgrade: The code of its downgrade.
        step: Whether it is a safe step, which runs in no transaction of the runner's.
        contract: Whether it breaks running code.
        drops: The tables and ``table.column`` that its downgrade drops.
        forgets: The columns whose earlier values its downgrade does not restore.
    """

    title: str
    upgrade: tuple[str, ...]
    downgrade: tuple[str, ...]
    step: bool = False
    contract: bool = False
    drops: tuple[str, ...] = ()
    forgets: tuple[str, ...] = ()


def compose(server: Scratch, answers: Answers) -> list[Piece]:
    """Return the parts of the models that the history lacks, in the order of their creation.

    Args:
        server: The server for both temporary builds.
        answers: The decisions of a person.

    Raises:
        UsageError: An answer is missing or has no question, or a change has no safe form that could be drafted.
    """
    _refuse_without_columns(answers)
    with server.database() as url:
        with drafted(answers.renamed):
            migrate(url, settings=Settings(replay=True))
        with Target.of(url).connect() as link:
            history = ours(link)
    # Models have no class for values that are kept for the downgrade.
    kept = manifest.load().leftovers - set(manifest.load().tables)
    history = replace(history, tables=tuple(one for one in history.tables if one.name not in kept))
    with server.database() as url:
        models, tables = _models(url)
    return _Composition(history, models, tables, answers).pieces()


def _refuse_without_columns(answers: Answers) -> None:
    """Refuse models that lack a column of an enforced rule: the history adds the rule by its name."""
    from diwa_schema.models import Base

    there = {(table.name, column.name) for table in Base.metadata.tables.values() for column in table.columns}
    lacking = [
        f"{rule.table}.{column} is missing in the models, and the rule {rule.name} of models/rules.py uses it"
        for rule in KEPT
        for column in rule.columns
        if (rule.table, column) not in there
    ]
    if lacking:
        renamed = {f"{rule.table}.{column}" for rule in KEPT for column in rule.columns} & set(
            answers.renamed
        )
        raise UsageError(
            "\n  ".join(["This has no draft:", *lacking]),
            untouched="Nothing was written.",
            next_step=(
                f"Write the new name of {' and '.join(sorted(renamed))} into models/rules.py: the history"
                " finds the column under either name. Then run the command again."
                if renamed
                else "Move the rule from KEPT to RETIRED in models/rules.py, as it is: revisions of the history add it"
                " by its name. Then run the command again."
            ),
        )


def _models(url: str) -> tuple[Catalog, Mapping[str, sa.Table]]:
    """Return the catalog of the models, and their tables on PostgreSQL."""
    from diwa_schema.models import Base
    from diwa_schema.models.shapes import tables_for

    with Target.of(url).connect() as link, connection_over(link) as connection:
        link.execute(pgvector.CREATE)
        Base.metadata.create_all(connection)
        return read(link), tables_for(Base.metadata, connection).tables


@dataclass(slots=True)
class _Composition:
    """The work. It collects open decisions and undraftable changes, so that one error reports all of them."""

    history: Catalog
    models: Catalog
    tables: Mapping[str, sa.Table]
    answers: Answers
    asked: list[str] = field(default_factory=list)
    options: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    mistaken: list[str] = field(default_factory=list)
    perhaps_renamed: set[str] = field(default_factory=set)

    def pieces(self) -> list[Piece]:
        retired = list(self._retired())
        renamed, dropped = list(self._renamed()), list(self._dropped())
        found = findings(self.history, self.models)
        self.refused += [_described(one) for one in found if one.kind not in _ORDER]
        ordered = [one for kind in _ORDER for one in found if one.kind == kind]
        # New objects use the columns under their new names.
        pieces = [
            *retired,
            *renamed,
            *(piece for one in ordered for piece in self._made(one)),
            *self._rules(),
            *_described_anew(ordered),
            *dropped,
        ]
        if not self.answers.contract and any(piece.contract for piece in pieces):
            self.asked += [f"{one.title}: it breaks running code" for one in pieces if one.contract]
            self.options.append("--contract")
        if unknown := set(self.answers.fills) - self._columns():
            self.mistaken.append(f"--fill names no column of the models: {', '.join(sorted(unknown))}")
        if self.mistaken:
            raise UsageError(
                "\n  ".join(["These options do not fit the models and the history:", *self.mistaken]),
                untouched="Nothing was written.",
                next_step="Correct the names, and run the command again.",
            )
        if self.refused:
            raise UsageError(
                "\n  ".join(["This has no draft:", *self.refused]),
                untouched="Nothing was written.",
                next_step="Change the models so that they keep the old beside the new, or write the revision by"
                ' hand: diwa-schema revision -m "…"',
            )
        if self.asked:
            raise UsageError(
                "\n  ".join(["These questions need your decision:", *self.asked]),
                untouched="Nothing was written.",
                next_step=f"Run the command again with {' '.join(dict.fromkeys(self.options))}",
            )
        return pieces

    def _columns(self) -> set[str]:
        return {f"{table.name}.{one.name}" for table in self.models.tables for one in table.columns}

    def _retired(self) -> Iterator[Piece]:
        """Take out of the history the rules that the database is to keep no more, and yield what releases them."""
        kept = {rule.name for rule in KEPT}
        gone = [rule.name for rule in expected_in(self.history) if rule.name not in kept]
        self.history = replace(
            self.history,
            tables=tuple(
                replace(
                    table,
                    others=tuple(one for one in table.others if one.name not in gone),
                    indexes=tuple(one for one in table.indexes if one.name not in gone),
                )
                for table in self.history.tables
            ),
        )
        if gone:
            release, keep = (
                f"steps.{verb}_rules({', '.join(map(text, gone))})" for verb in ("release", "keep")
            )
            yield Piece(f"no rule {' and '.join(gone)}", (release,), (keep,), step=True)

    def _renamed(self) -> Iterator[Piece]:
        for name, new in self.answers.renamed.items():
            table, _, old = name.partition(".")
            here, there = self.history.table(table), self.models.table(table)
            went = here and here.column(old) and not here.column(new)
            came = there and there.column(new) and not there.column(old)
            if not (went and came):
                self.mistaken.append(f"--rename {name}={new} does not name a missing column and a new one")
                continue
            self.history = _checks_renamed(with_names(self.history, {table: {old: new}}), table, {old: new})
            change = f"op.alter_column({text(table)}, {{}}, new_column_name={{}})"
            yield Piece(
                f"rename {name} to {new}",
                (change.format(text(old), text(new)),),
                (change.format(text(new), text(old)),),
                contract=True,
            )

    def _dropped(self) -> Iterator[Piece]:
        """Remove from the history the parts that the models lack, and yield the pieces that drop them."""
        went = {
            f"{table.name}.{one.name}"
            for table in self.history.tables
            if (there := self.models.table(table.name))
            for one in table.columns
            if there.column(one.name) is None
        }
        if unknown := set(self.answers.dropped) - went:
            self.mistaken.append(f"--drop does not name a missing column: {', '.join(sorted(unknown))}")
        for table in self.history.tables:
            there = self.models.table(table.name)
            if there is None:
                yield self._drop_table(table)
                continue
            came = [one for one in there.columns if table.column(one.name) is None]
            for column in table.columns:
                if there.column(column.name) is None:
                    yield self._drop_column(table, column, came)
        self.history = replace(self.history, tables=tuple(map(self._kept, self.history.tables)))

    def _kept(self, table: Table) -> Table:
        """Return a table without the dropped columns and the objects that go with them."""
        there = self.models.table(table.name)
        gone = {one.name for one in table.columns if there and there.column(one.name) is None}
        if not gone:
            return table
        return replace(
            table,
            columns=tuple(one for one in table.columns if one.name not in gone),
            foreign_keys=tuple(one for one in table.foreign_keys if not gone & set(one.columns)),
            indexes=tuple(one for one in table.indexes if not gone & set(_plain(one.columns))),
        )

    def _drop_column(self, table: Table, column: Column, came: Collection[Column]) -> Piece:
        name = f"{table.name}.{column.name}"
        alike = [one.name for one in came if one.type == column.type]
        if alike and name not in self.answers.dropped:
            self.asked.append(
                f"{name} is missing and {' or '.join(alike)} is new: is this its new name? If not, add --drop {name}"
            )
            self.options.append(f"--rename {name}={alike[0]}")
            self.perhaps_renamed |= {f"{table.name}.{new}" for new in alike}
        code = written.as_read(column, _on_sqlite(table.name, column.name))
        if code is None:
            self.refused.append(f"{name} has the type {column.type}, which a downgrade could not restore")
        back = [f"op.add_column({text(table.name)}, {code})"]
        back += [
            written.index_as_read(one, table.name, step=False)
            for one in table.indexes
            if column.name in _plain(one.columns)
        ]
        return Piece(
            f"drop {name}",
            (f"op.drop_column({text(table.name)}, {text(column.name)})",),
            tuple(back),
            contract=True,
            forgets=(name,),
        )

    def _drop_table(self, table: Table) -> Piece:
        code = written.table_as_read(table, at_head("sqlite").table(table.name))
        if code is None:
            self.refused.append(f"{table.name} has a type that a downgrade could not restore")
        drop = f"op.drop_table({text(table.name)})"
        return Piece(f"drop {table.name}", (drop,), tuple(code or ()), contract=True, forgets=(table.name,))

    def _made(self, one: Finding) -> Iterator[Piece]:
        match one.kind, one.problem:
            case "table", "missing":
                table = self.tables[one.table]
                # Rules come afterwards, by their names, and on PostgreSQL alone.
                rules = {rule.name for rule in KEPT}
                indexes = sorted(table.indexes, key=lambda index: str(index.name))
                calls = (
                    written.create_index(one, step=False) for one in indexes if str(one.name) not in rules
                )
                drop = f"op.drop_table({text(one.table)})"
                yield Piece(
                    f"table {one.table}",
                    (written.create_table(table, without=rules), *calls),
                    (drop,),
                    drops=(one.table,),
                )
            case "column", "missing":
                yield from self._add_column(one)
            case "column", "changed" if set(one.fields) <= {"nullable", "default", "comment"}:
                yield from self._alter_column(one)
            case "index", "missing":
                yield self._create_index(one.table, one.name)
            case "index", "extra":
                yield _drop_index(one.table, one.found)
            case "index", "changed" | "renamed":
                yield _drop_index(one.table, one.found)
                yield self._create_index(one.table, one.name)
            case "foreign key", "missing":
                yield self._add_foreign_key(one)
            case "check", "missing":
                yield self._add_check(one)
            case _:
                self.refused.append(_described(one))

    def _add_column(self, one: Finding) -> Iterator[Piece]:
        name, wanted = f"{one.table}.{one.name}", one.expected
        column = self.tables[one.table].columns[one.name]
        add, drop = (
            f"op.add_column({text(one.table)}, {{}})",
            f"op.drop_column({text(one.table)}, {text(one.name)})",
        )
        constant = wanted.default is None or bool(CONSTANT.fullmatch(wanted.default))
        fill = self.answers.fills.get(name)

        def added(**options: Any) -> Piece:
            code = add.format(written.column(column, **options))
            return Piece(f"column {name}", (code,), (drop,), drops=(name,))

        if name in self.perhaps_renamed:
            return  # that question comes first: a column with a new name needs no value
        if not wanted.nullable and wanted.default is None and (fill is None or not self.answers.contract):
            self.asked.append(
                f"{name} takes no NULL and has no default in the database, so code without the column could"
                " no longer insert a row. Give the column a server default. If that is not possible, name"
                " the value of existing rows, and accept that older code breaks"
            )
            self.options += [f'--fill "{name}=SQL"', "--contract"]
        elif constant and fill is None:
            # Only the catalog changes: existing rows are not written.
            yield added()
        else:
            yield added(nullable=True, server_default=False)
            if wanted.default is not None:
                yield self._set_default(one.table, one.name, "None")
            if fill is not None or not wanted.nullable:
                yield _backfill(one.table, one.name, fill or wanted.default)
            if not wanted.nullable:
                yield _set_not_null(one.table, one.name, contract=wanted.default is None)

    def _alter_column(self, one: Finding) -> Iterator[Piece]:
        name = f"{one.table}.{one.name}"
        if "default" in one.fields:
            before = written.default_as_read(one.found, _on_sqlite(one.table, one.name))
            yield self._set_default(one.table, one.name, before)
        if "nullable" not in one.fields:
            return
        if one.expected.nullable:
            yield Piece(
                f"let {name} be NULL",
                (f"steps.drop_not_null({text(one.table)}, {text(one.name)})",),
                (f"steps.set_not_null({text(one.table)}, {text(one.name)})",),
                step=True,
                contract=True,
            )
            return
        if (fill := self.answers.fills.get(name)) is None:
            self.asked.append(f"{name} becomes NOT NULL: which value do rows with NULL get?")
            self.options.append(f'--fill "{name}=SQL"')
            return
        yield _backfill(one.table, one.name, fill)
        # A default does not help: code that knows the column may send NULL.
        yield _set_not_null(one.table, one.name, contract=True)

    def _set_default(self, table: str, column: str, before: str) -> Piece:
        after = written.default(self.tables[table].columns[column]) or "None"
        change = f"steps.set_default({text(table)}, {text(column)}, {{}})"
        return Piece(
            f"default of {table}.{column}", (change.format(after),), (change.format(before),), step=True
        )

    def _create_index(self, table: str, name: str) -> Piece:
        (index,) = (one for one in self.tables[table].indexes if str(one.name) == name)
        drop = f"steps.drop_index_concurrently({text(name)}, {text(table)})"
        return Piece(f"index {name}", (written.create_index(index, step=True),), (drop,), step=True)

    def _add_foreign_key(self, one: Finding) -> Piece:
        key, table = one.expected, self.models.table(one.table)
        leading = [_plain(index.columns)[: len(key.columns)] for index in (table.indexes if table else ())]
        if key.columns not in leading:
            self.refused.append(
                f"{one.name} of {one.table} has no index on {', '.join(key.columns)}: each DELETE in"
                f" {key.references} would read the whole table. Add the index to the model"
            )
        words = [text(one.name), text(one.table), names(key.columns), text(key.references)]
        if key.on_delete != "NO ACTION":
            words.append(f"ondelete={text(key.on_delete)}")
        back = f'steps.drop_constraint({text(one.name)}, {text(one.table)}, "foreignkey")'
        call = f"steps.add_foreign_key({', '.join(words)})"
        return Piece(f"foreign key {one.name}", (call,), (back,), step=True)

    def _add_check(self, one: Finding) -> Piece:
        checks = self.tables[one.table].constraints
        (check,) = (check for check in checks if str(check.name) == one.name)
        words = [text(one.name), text(one.table), text(written.condition(cast("sa.CheckConstraint", check)))]
        back = f'steps.drop_constraint({text(one.name)}, {text(one.table)}, "check")'
        return Piece(f"check {one.name}", (f"steps.add_check({', '.join(words)})",), (back,), step=True)

    def _rules(self) -> Iterator[Piece]:
        """Yield the pieces that let the database enforce new rules: an absent rule may wait, and is not a finding."""
        known = {one.name for one in expected_in(self.history)}
        new = [one.name for one in expected_in(self.models) if one.name not in known]
        if new:
            keep, release = (
                f"steps.{verb}_rules({', '.join(map(text, new))})" for verb in ("keep", "release")
            )
            yield Piece(f"rule {' and '.join(new)}", (keep,), (release,), step=True)


def _described_anew(found: Collection[Finding]) -> Iterator[Piece]:
    """Yield the piece that writes the changed texts of columns, all in one revision."""
    after: dict[str, dict[str, str | None]] = defaultdict(dict)
    before: dict[str, dict[str, str | None]] = defaultdict(dict)
    for one in found:
        if one.kind == "column" and "comment" in one.fields:
            after[one.table][one.name] = one.expected.comment
            before[one.table][one.name] = one.found.comment
    if after:
        old, new = written.texts(before), written.texts(after)
        calls = (f"steps.describe({new}, instead_of={old})", f"steps.describe({old}, instead_of={new})")
        yield Piece("descriptions", calls[:1], calls[1:], step=True)


def _drop_index(table: str, index: Index) -> Piece:
    drop = f"steps.drop_index_concurrently({text(index.name)}, {text(table)})"
    return Piece(
        f"drop index {index.name}", (drop,), (written.index_as_read(index, table, step=True),), step=True
    )


def _on_sqlite(table: str, column: str) -> Column | None:
    """Return a column of the history as SQLite has it, in its own words."""
    found = at_head("sqlite").table(table)
    return None if found is None else found.column(column)


def _backfill(table: str, column: str, value: str) -> Piece:
    call = f"steps.backfill({text(table)}, {text(f'{column} = {value}')}, where={text(f'{column} IS NULL')})"
    return Piece(f"fill {table}.{column}", (call,), (_LEFT,), step=True, forgets=(f"{table}.{column}",))


def _set_not_null(table: str, column: str, *, contract: bool) -> Piece:
    back = f"steps.drop_not_null({text(table)}, {text(column)})"
    call = f"steps.set_not_null({text(table)}, {text(column)})"
    return Piece(f"no NULL in {table}.{column}", (call,), (back,), step=True, contract=contract)


def _described(one: Finding) -> str:
    differs = f" ({', '.join(one.fields)})" if one.fields else ""
    what = one.name if one.kind == "table" else f"{one.name} of {one.table}"
    return f"{one.kind} {what} is {one.problem}{differs}"


def _checks_renamed(history: Catalog, table: str, names: Mapping[str, str]) -> Catalog:
    """Return a catalog whose checks of a table follow its renamed columns, as PostgreSQL's do."""

    def followed(one: Table) -> Table:
        checks = (
            replace(each, definition=renamed_in(each.definition, names)) if each.kind == "check" else each
            for each in one.others
        )
        return replace(one, others=tuple(checks)) if one.name == table else one

    return replace(history, tables=tuple(map(followed, history.tables)))


def _plain(columns: tuple[str, ...]) -> tuple[str, ...]:
    """Return the columns of an index without direction and operator class."""
    return tuple(one.partition(" ")[0] for one in columns)
