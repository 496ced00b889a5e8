"""The catalog as text for people: one line per object, in an order that never changes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from diwa_schema.drift.model import (
    Catalog,
    Check,
    Column,
    Domain,
    Enum,
    Exclusion,
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

KINDS = {
    "columns": "column",
    "primary_key": "primary key",
    "uniques": "unique constraint",
    "foreign_keys": "foreign key",
    "checks": "check",
    "exclusions": "exclusion constraint",
    "indexes": "index",
    "triggers": "trigger",
    "policies": "policy",
    "sequences": "sequence",
    "enums": "enum",
    "domains": "domain",
    "functions": "function",
    "views": "view",
}
IN_TABLES = ("columns", "uniques", "foreign_keys", "checks", "exclusions", "indexes", "triggers", "policies")
FREE = ("sequences", "enums", "domains", "functions", "views")


def described(catalog: Catalog) -> str:
    """Return a catalog as text."""
    lines: list[str] = []
    for table in catalog.tables:
        lines.append(" ".join(["table", table.name, *_traits(table)]))
        lines += [f"  {line}" for line in _contents(table)]
    for collection in FREE:
        lines += [f"{KINDS[collection]} {item.name} {worded(item)}" for item in getattr(catalog, collection)]
    return "\n".join(lines)


def worded(item: Any) -> str:
    """Return what an object is, without its name."""
    return " ".join(_WORDS[type(item)](item).split())


def _traits(table: Table) -> Iterator[str]:
    if table.kind != "table":
        yield f"({table.kind})"
    if table.persistence != "permanent":
        yield table.persistence
    if table.row_security != "off":
        yield f"row security {table.row_security}"
    if table.replica_identity != "DEFAULT":
        yield f"replica identity {table.replica_identity}"
    if table.owner:
        yield f"owned by {table.owner}"
    yield from table.options


def _contents(table: Table) -> Iterator[str]:
    for column in table.columns:
        yield f"column {column.name} {worded(column)}"
    if table.primary_key:
        yield f"primary key {table.primary_key.name} {worded(table.primary_key)}"
    for collection in IN_TABLES[1:]:
        for item in getattr(table, collection):
            yield f"{KINDS[collection]} {item.name} {worded(item)}"


def _listed(names: tuple[str, ...]) -> str:
    return f"({', '.join(names)})"


def _column(column: Column) -> str:
    parts = [column.type]
    parts += [f"collate {column.collation}"] if column.collation else []
    parts += [] if column.nullable else ["not null"]
    parts += [f"default {column.default}"] if column.default is not None else []
    parts += [f"generated {column.identity} as identity"] if column.identity else []
    if column.generated is not None:
        parts.append(f"generated as ({column.generated}) {'virtual' if column.virtual else 'stored'}")
    return " ".join(parts)


def _key(key: Key) -> str:
    return " ".join(
        [
            _listed(key.columns),
            f"include {_listed(key.include)}" if key.include else "",
            "" if key.nulls_distinct else "nulls not distinct",
            (key.deferrable or "").lower(),
        ]
    )


def _foreign_key(key: ForeignKey) -> str:
    parts = [_listed(key.columns), "references", key.references, _listed(key.ref_columns)]
    parts += [] if key.match == "SIMPLE" else [f"match {key.match.lower()}"]
    parts += [] if key.on_update == "NO ACTION" else [f"on update {key.on_update.lower()}"]
    parts += [] if key.on_delete == "NO ACTION" else [f"on delete {key.on_delete.lower()}"]
    parts += [key.deferrable.lower()] if key.deferrable else []
    return " ".join([*parts, *_doubts(key)])


def _check(check: Check) -> str:
    inherited = [] if check.inherited else ["no inherit"]
    return " ".join([f"({check.expression})", *inherited, *_doubts(check)])


def _doubts(constraint: ForeignKey | Check) -> list[str]:
    if not constraint.enforced:
        return ["not enforced"]
    return [] if constraint.validated else ["not validated"]


def _index(index: Index) -> str:
    parts = ["unique"] if index.unique else []
    parts += [] if index.method == "btree" else [f"using {index.method}"]
    parts.append(_listed(index.columns))
    parts += [f"include {_listed(index.include)}"] if index.include else []
    parts += [] if index.nulls_distinct else ["nulls not distinct"]
    parts += [f"with {_listed(index.options)}"] if index.options else []
    parts += [f"where {index.predicate}"] if index.predicate else []
    return " ".join([*parts, *([] if index.valid else ["INVALID"])])


def _trigger(trigger: Trigger) -> str:
    state = "" if trigger.enabled == "enabled" else f"({trigger.enabled})"
    return f"{'constraint ' * trigger.constraint}{trigger.moment} {trigger.action} {state}"


def _policy(policy: Policy) -> str:
    parts = ["" if policy.permissive else "restrictive", f"for {policy.command} to {', '.join(policy.roles)}"]
    parts += [f"using ({policy.using})"] if policy.using is not None else []
    parts += [f"with check ({policy.check})"] if policy.check is not None else []
    return " ".join(parts)


def _sequence(held: Sequence) -> str:
    return (
        f"{held.type} start {held.start} increment {held.increment} from {held.minimum} to {held.maximum}"
        f" cache {held.cache}{' cycle' * held.cycle} {f'owned by {held.owned_by}' if held.owned_by else ''}"
    )


def _domain(domain: Domain) -> str:
    column = Column(domain.name, domain.type, domain.nullable, domain.default, collation=domain.collation)
    return " ".join([_column(column), *(f"check {check.name} {_check(check)}" for check in domain.checks)])


def _enum(enum: Enum) -> str:
    return _listed(tuple(f"'{value}'" for value in enum.values))


def _defined(item: Exclusion | Function | View) -> str:
    return item.definition


_WORDS: dict[type, Any] = {
    Column: _column,
    Key: _key,
    ForeignKey: _foreign_key,
    Check: _check,
    Exclusion: _defined,
    Index: _index,
    Trigger: _trigger,
    Policy: _policy,
    Sequence: _sequence,
    Enum: _enum,
    Domain: _domain,
    Function: _defined,
    View: _defined,
}
