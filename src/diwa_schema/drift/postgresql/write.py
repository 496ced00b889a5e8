"""The objects of a catalog as PostgreSQL creates them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from diwa_schema.drift.model import (
    Check,
    Column,
    Domain,
    Enum,
    ForeignKey,
    Function,
    Index,
    Key,
    Policy,
    Sequence,
    Table,
    Trigger,
    View,
)
from diwa_schema.names import quoted

_NAME = re.compile(r"([A-Za-z_]\w*)( .*)?")
_ENABLING = {
    "enabled": "ENABLE",
    "disabled": "DISABLE",
    "replica": "ENABLE REPLICA",
    "always": "ENABLE ALWAYS",
}


def column_list(pieces: Iterable[str]) -> str:
    """Return columns or expressions in brackets, names quoted."""
    return f"({', '.join(map(_piece, pieces))})"


def _piece(piece: str) -> str:
    found = _NAME.fullmatch(piece)
    return quoted(found.group(1)) + (found.group(2) or "") if found else piece


def literal(text: str) -> str:
    """Return a string literal."""
    return "'" + text.replace("'", "''") + "'"


def column(one: Column) -> str:
    """Return what declares a column."""
    parts = [quoted(one.name), one.type]
    parts += [f"COLLATE {quoted(one.collation)}"] if one.collation else []
    parts += [f"DEFAULT {one.default}"] if one.default is not None else []
    parts += [] if one.nullable else ["NOT NULL"]
    parts += [identity(one)] if one.identity else []
    if one.generated is not None:
        parts.append(f"GENERATED ALWAYS AS ({one.generated}) {'VIRTUAL' if one.virtual else 'STORED'}")
    return " ".join(parts)


def identity(one: Column) -> str:
    """Return what makes a column an identity."""
    return f"GENERATED {str(one.identity).upper()} AS IDENTITY"


def key(one: Key, word: str) -> str:
    """Return what declares a primary key or unique constraint, without its name."""
    return " ".join(
        [
            word if one.nulls_distinct else f"{word} NULLS NOT DISTINCT",
            column_list(one.columns),
            *([f"INCLUDE {column_list(one.include)}"] if one.include else []),
            *([one.deferrable] if one.deferrable else []),
        ]
    )


def check(one: Check) -> str:
    """Return what declares a CHECK, without its name."""
    return f"CHECK ({one.expression})" + ("" if one.inherited else " NO INHERIT")


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes statements for one schema.

    Args:
        schema: The schema that holds the objects.
    """

    schema: str

    def name(self, name: str) -> str:
        """Return a name with its schema."""
        return f"{quoted(self.schema)}.{quoted(name)}"

    def alter(self, table: str, *actions: str) -> str:
        """Return ALTER TABLE."""
        return f"ALTER TABLE {self.name(table)} {', '.join(actions)}"

    def foreign_key(self, one: ForeignKey) -> str:
        """Return what declares a foreign key, without its name."""
        target = self.name(one.references) if "." not in one.references else one.references
        parts = [f"FOREIGN KEY {column_list(one.columns)} REFERENCES {target} {column_list(one.ref_columns)}"]
        parts += [] if one.match == "SIMPLE" else [f"MATCH {one.match}"]
        parts += [] if one.on_update == "NO ACTION" else [f"ON UPDATE {one.on_update}"]
        parts += [] if one.on_delete == "NO ACTION" else [f"ON DELETE {one.on_delete}"]
        return " ".join([*parts, *([one.deferrable] if one.deferrable else [])])

    def index(self, table: str, one: Index, *, concurrently: bool = True, name: str | None = None) -> str:
        """Return CREATE INDEX; the server waits for nobody and nobody waits for it when concurrent."""
        parts = ["CREATE", "UNIQUE" if one.unique else "", "INDEX", "CONCURRENTLY" if concurrently else ""]
        parts += [quoted(name or one.name), "ON", self.name(table), "USING", one.method]
        parts += [column_list(one.columns)]
        parts += [f"INCLUDE {column_list(one.include)}"] if one.include else []
        parts += [] if one.nulls_distinct else ["NULLS NOT DISTINCT"]
        parts += [f"WITH ({', '.join(one.options)})"] if one.options else []
        parts += [f"WHERE {one.predicate}"] if one.predicate else []
        return " ".join(filter(None, parts))

    def trigger(self, table: str, one: Trigger, *, replace: bool = False) -> Iterator[str]:
        """Yield what creates a trigger and enables it as it should be."""
        words = "CREATE CONSTRAINT TRIGGER" if one.constraint else "CREATE OR REPLACE TRIGGER"
        words = words if replace or one.constraint else "CREATE TRIGGER"
        yield f"{words} {quoted(one.name)} {one.moment} ON {self.name(table)} {one.action}"
        if replace or one.enabled != "enabled":
            yield self.enabling(table, one)

    def enabling(self, table: str, one: Trigger) -> str:
        """Return what enables or disables a trigger."""
        return self.alter(table, f"{_ENABLING[one.enabled]} TRIGGER {quoted(one.name)}")

    def policy(self, table: str, one: Policy) -> str:
        """Return CREATE POLICY."""
        roles = ", ".join(role if role == "public" else quoted(role) for role in one.roles)
        parts = [f"CREATE POLICY {quoted(one.name)} ON {self.name(table)}"]
        parts += [] if one.permissive else ["AS RESTRICTIVE"]
        parts += [f"FOR {one.command} TO {roles}"]
        parts += [f"USING ({one.using})"] if one.using is not None else []
        parts += [f"WITH CHECK ({one.check})"] if one.check is not None else []
        return " ".join(parts)

    def row_security(self, table: Table) -> str:
        """Return what sets row security as the table has it."""
        enable = "DISABLE" if table.row_security == "off" else "ENABLE"
        force = "FORCE" if table.row_security == "forced" else "NO FORCE"
        return self.alter(table.name, f"{enable} ROW LEVEL SECURITY", f"{force} ROW LEVEL SECURITY")

    def replica_identity(self, table: Table) -> str:
        """Return what sets the replica identity as the table has it."""
        words, index, name = table.replica_identity.partition("USING INDEX ")
        identity_ = f"{index}{quoted(name)}" if index else words
        return self.alter(table.name, f"REPLICA IDENTITY {identity_}")

    def function(self, one: Function) -> str:
        """Return CREATE OR REPLACE FUNCTION."""
        name, bracket, arguments = one.name.partition("(")
        return f"CREATE OR REPLACE FUNCTION {self.name(name)}{bracket}{arguments}\n{one.definition}"

    def view(self, one: View) -> str:
        """Return CREATE VIEW."""
        return f"CREATE VIEW {self.name(one.name)} AS {one.definition}"

    def enum(self, one: Enum) -> str:
        """Return CREATE TYPE of an enum."""
        return f"CREATE TYPE {self.name(one.name)} AS ENUM ({', '.join(map(literal, one.values))})"

    def domain(self, one: Domain) -> str:
        """Return CREATE DOMAIN."""
        parts = [f"CREATE DOMAIN {self.name(one.name)} AS {one.type}"]
        parts += [f"COLLATE {quoted(one.collation)}"] if one.collation else []
        parts += [f"DEFAULT {one.default}"] if one.default is not None else []
        parts += [] if one.nullable else ["NOT NULL"]
        parts += [f"CONSTRAINT {quoted(rule.name)} {check(rule)}" for rule in one.checks]
        return " ".join(parts)

    def sequence(self, one: Sequence, word: str = "CREATE") -> str:
        """Return CREATE SEQUENCE or ALTER SEQUENCE, with every option but the owning column."""
        return (
            f"{word} SEQUENCE {self.name(one.name)} AS {one.type} INCREMENT {one.increment}"
            f" MINVALUE {one.minimum} MAXVALUE {one.maximum} START {one.start} CACHE {one.cache}"
            f" {'' if one.cycle else 'NO '}CYCLE"
        )

    def ownership(self, one: Sequence) -> str:
        """Return what ties a sequence to the column that owns it."""
        table, _, held = (one.owned_by or "").partition(".")
        owner = f"{self.name(table)}.{quoted(held)}" if held else "NONE"
        return f"ALTER SEQUENCE {self.name(one.name)} OWNED BY {owner}"

    def table(self, one: Table) -> Iterator[str]:
        """Yield what creates a table with everything that belongs to it."""
        named = [(one.primary_key.name, key(one.primary_key, "PRIMARY KEY"))] if one.primary_key else []
        named += [(unique.name, key(unique, "UNIQUE")) for unique in one.uniques]
        named += [(rule.name, check(rule)) for rule in one.checks]
        named += [(other.name, other.definition) for other in one.exclusions]
        named += [(foreign.name, self.foreign_key(foreign)) for foreign in one.foreign_keys]
        parts = [column(held) for held in sorted(one.columns, key=lambda held: held.position)]
        parts += [f"CONSTRAINT {quoted(name)} {definition}" for name, definition in named]
        kind = "UNLOGGED TABLE" if one.persistence == "unlogged" else "TABLE"
        yield f"CREATE {kind} {self.name(one.name)} (\n  " + ",\n  ".join(parts) + "\n)"
        yield from (self.index(one.name, index, concurrently=False) for index in one.indexes)
        for trigger in one.triggers:
            yield from self.trigger(one.name, trigger)
        yield from (self.policy(one.name, policy) for policy in one.policies)
        if one.row_security != "off":
            yield self.row_security(one)
        if one.replica_identity != "DEFAULT":
            yield self.replica_identity(one)
