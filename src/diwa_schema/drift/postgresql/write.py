"""The objects of a catalog as PostgreSQL's CREATE statements."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from diwa_schema.drift.model import Column, ForeignKey, Index, Key, Table, Trigger
from diwa_schema.drift.scan import listed
from diwa_schema.models.filled import FILLINGS
from diwa_schema.models.inherited import with_schema
from diwa_schema.models.rule import Rule
from diwa_schema.names import OURS, code, literal, qualified, quoted

_ENABLING = {
    "enabled": "ENABLE",
    "disabled": "DISABLE",
    "replica": "ENABLE REPLICA",
    "always": "ENABLE ALWAYS",
}

_CALL = re.compile(rf"EXECUTE FUNCTION ({OURS}\w+)\(")
_PLAIN = re.compile(r"('(''|[^'])*'|-?[\w.]+(\(.*\))?|ARRAY\[[^\]]*\])(::[\w \[\]]+(\(\d+\))?)*")


def column(one: Column) -> str:
    """Return the declaration of a column."""
    parts = [quoted(one.name), one.type]
    parts += [f"COLLATE {quoted(one.collation)}"] if one.collation else []
    if one.default is not None:
        # CREATE TABLE accepts an expression with keywords, such as AT TIME ZONE, only in parentheses.
        parts.append(f"DEFAULT {one.default if _PLAIN.fullmatch(one.default) else f'({one.default})'}")
    parts += [] if one.nullable else ["NOT NULL"]
    return " ".join([*parts, one.generated or ""]).strip()


def primary_key(one: Key) -> str:
    """Return the declaration of a primary key, without its name."""
    include = f" INCLUDE {listed(one.include)}" if one.include else ""
    return f"PRIMARY KEY {listed(one.columns)}{include} {one.deferrable or ''}".strip()


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes statements for one schema.

    Args:
        schema: The schema that holds the objects.
    """

    schema: str

    def name(self, name: str) -> str:
        """Return a name with its schema."""
        return qualified(self.schema, name)

    def alter(self, table: str, *actions: str) -> str:
        """Return ALTER TABLE."""
        return f"ALTER TABLE {self.name(table)} {', '.join(actions)}"

    def comment(self, table: str, one: Column) -> str:
        """Return the statement for the comment of a column."""
        return f"COMMENT ON COLUMN {self.name(table)}.{quoted(one.name)} IS {literal(one.comment)}"

    def foreign_key(self, one: ForeignKey) -> str:
        """Return the declaration of a foreign key, without its name."""
        target = self.name(one.references) if "." not in one.references else one.references
        parts = [f"FOREIGN KEY {listed(one.columns)} REFERENCES {target} {listed(one.ref_columns)}"]
        parts += [] if one.match == "SIMPLE" else [f"MATCH {one.match}"]
        parts += [] if one.on_update == "NO ACTION" else [f"ON UPDATE {one.on_update}"]
        parts += [] if one.on_delete == "NO ACTION" else [f"ON DELETE {one.on_delete}"]
        return " ".join([*parts, *([one.deferrable] if one.deferrable else [])])

    def index(self, table: str, one: Index, *, concurrently: bool = True, name: str | None = None) -> str:
        """Return CREATE INDEX; a concurrent build makes nobody wait."""
        parts = ["CREATE", "UNIQUE" if one.unique else "", "INDEX", "CONCURRENTLY" if concurrently else ""]
        parts += [quoted(name or one.name), "ON", self.name(table), "USING", one.method, listed(one.columns)]
        parts += [f"INCLUDE {listed(one.include)}"] if one.include else []
        parts += [] if one.nulls_distinct else ["NULLS NOT DISTINCT"]
        parts += [f"WITH ({', '.join(one.options)})"] if one.options else []
        parts += [f"WHERE {one.predicate}"] if one.predicate else []
        return " ".join(filter(None, parts))

    def trigger(self, table: str, one: Trigger, *, replace: bool = False) -> Iterator[str]:
        """Yield the statements that create a trigger and set its state."""
        yield from self.function(one)
        words = "CREATE CONSTRAINT TRIGGER" if one.constraint else "CREATE OR REPLACE TRIGGER"
        words = words if replace or one.constraint else "CREATE TRIGGER"
        # Who runs the statement may have another search path, even one to the function of another tenant.
        action = _CALL.sub(lambda called: f"EXECUTE FUNCTION {self.name(called[1])}(", one.action)
        yield f"{words} {quoted(one.name)} {one.moment} ON {self.name(table)} {action}"
        if replace or one.enabled != "enabled":
            yield self.enabling(table, one)

    def function(self, one: Trigger) -> Iterator[str]:
        """Yield the statements for the function of a trigger, if it belongs to this package."""
        called = _CALL.search(one.action)
        filling = called and next((each for each in FILLINGS if each.function == called[1]), None)
        if filling:
            yield filling.create(f"{quoted(self.schema)}.")[0]
        if one.code is None or called is None:
            return
        name = f"{self.name(called[1])}()"
        body = code(with_schema(one.code, self.schema))
        yield f"CREATE OR REPLACE FUNCTION {name} RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS {body}"
        yield f"REVOKE ALL ON FUNCTION {name} FROM PUBLIC"

    def enabling(self, table: str, one: Trigger) -> str:
        """Return the statement that enables or disables a trigger."""
        return self.alter(table, f"{_ENABLING[one.enabled]} TRIGGER {quoted(one.name)}")

    def rule(self, one: Rule) -> tuple[str, ...]:
        """Return the statement that adds a rule about rows; it fails if a row breaks the rule."""
        if one.unique:
            return (self.index(one.table, Index(one.name, one.unique, unique=True)),)
        name = quoted(one.name)
        return (
            self.alter(one.table, f"ADD CONSTRAINT {name} CHECK ({one.condition}) NOT VALID"),
            self.alter(one.table, f"VALIDATE CONSTRAINT {name}"),
        )

    def table(self, one: Table) -> Iterator[str]:
        """Yield the statements that create a table with all of its objects."""
        named = [(one.primary_key.name, primary_key(one.primary_key))] if one.primary_key else []
        named += [(foreign.name, self.foreign_key(foreign)) for foreign in one.foreign_keys]
        named += [(other.name, other.definition) for other in one.others if other.kind == "check"]
        parts = [column(held) for held in sorted(one.columns, key=lambda held: held.position)]
        parts += [f"CONSTRAINT {quoted(name)} {definition}" for name, definition in named]
        yield f"CREATE TABLE {self.name(one.name)} (\n  " + ",\n  ".join(parts) + "\n)"
        yield from (self.comment(one.name, held) for held in one.columns if held.comment)
        yield from (self.index(one.name, index, concurrently=False) for index in one.indexes)
        for trigger in one.triggers:
            yield from self.trigger(one.name, trigger)
