"""What makes enums, domains and sequences what they should be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from diwa_schema.drift.difference import Mend
from diwa_schema.drift.findings import Finding
from diwa_schema.drift.model import Catalog, Check, Domain, Enum, Sequence
from diwa_schema.drift.postgresql import write as ddl
from diwa_schema.drift.postgresql.mend_columns import REWRITE
from diwa_schema.drift.postgresql.write import Writer, literal
from diwa_schema.names import quoted


def mend(finding: Finding, live: Catalog, write: Writer) -> Mend:
    """Return what mends a finding about an enum, a domain or a sequence."""
    if finding.kind == "sequence":
        return _sequence(finding, write)
    if finding.problem == "missing":
        create = write.enum if finding.kind == "enum" else write.domain
        return Mend((create(finding.expected),))
    if finding.kind == "enum":
        return _enum(finding.found, finding.expected, live, write)
    return _domain(finding, live, write)


def _sequence(finding: Finding, write: Writer) -> Mend:
    one: Sequence = finding.expected
    if finding.problem == "missing":
        owned = (write.ownership(one),) if one.owned_by else ()
        return Mend((write.sequence(one), *owned))
    statements = [] if finding.fields == ("owned_by",) else [write.sequence(one, "ALTER")]
    statements += [write.ownership(one)] if "owned_by" in finding.fields else []
    return Mend(tuple(statements))


def _enum(found: Enum, expected: Enum, live: Catalog, write: Writer) -> Mend:
    swapped = [pair for pair in zip(found.values, expected.values, strict=False) if pair[0] != pair[1]]
    if len(found.values) == len(expected.values) and len(swapped) == 1:
        (old, new) = map(literal, swapped[0])
        caution = f"If {old} is a value of its own, add {new} instead."
        rename = f"ALTER TYPE {write.name(expected.name)} RENAME VALUE {old} TO {new}"
        return Mend((rename,), safe=False, caution=caution)
    kept = tuple(value for value in expected.values if value in found.values)
    if kept != found.values:
        caution = f"{REWRITE} It fails, and changes nothing, where a row holds a value that goes."
        return Mend(tuple(_replace(expected, live, write)), safe=False, caution=caution)
    return Mend(tuple(_added(found, expected, write)))


def _added(found: Enum, expected: Enum, write: Writer) -> Iterator[str]:
    """Yield what adds the missing values, each beside one that is there by then."""
    for at, value in enumerate(expected.values):
        if value in found.values:
            continue
        place = f" AFTER {literal(expected.values[at - 1])}" if at else f" BEFORE {literal(found.values[0])}"
        yield f"ALTER TYPE {write.name(expected.name)} ADD VALUE {literal(value)}{place}"


def _replace(expected: Enum | Domain, live: Catalog, write: Writer) -> Iterator[str]:
    """Yield what puts a new type in the place of one that cannot be altered."""
    if isinstance(expected, Domain):
        kind, create = "DOMAIN", write.domain(expected)
    else:
        kind, create = "TYPE", write.enum(expected)
    aside = f"{expected.name[:58]}_old"
    yield f"ALTER {kind} {write.name(expected.name)} RENAME TO {quoted(aside)}"
    yield create
    for table in live.tables:
        for column in table.columns:
            if column.type.removesuffix("[]") != expected.name:
                continue
            name, array = quoted(column.name), column.type[len(expected.name) :]
            target = f"{write.name(expected.name)}{array}"
            actions = [f"ALTER COLUMN {name} DROP DEFAULT"] if column.default is not None else []
            actions.append(f"ALTER COLUMN {name} TYPE {target} USING {name}::text{array}::{target}")
            if column.default is not None:
                actions.append(f"ALTER COLUMN {name} SET DEFAULT {column.default}")
            yield from (write.alter(table.name, action) for action in actions)
    yield f"DROP {kind} {write.name(aside)}"


def _domain(finding: Finding, live: Catalog, write: Writer) -> Mend:
    found, expected = finding.found, finding.expected
    if {"type", "collation"} & set(finding.fields):
        return Mend(tuple(_replace(expected, live, write)), safe=False, caution=REWRITE)
    alter = f"ALTER DOMAIN {write.name(expected.name)}"
    statements = []
    if "default" in finding.fields:
        new = f"SET DEFAULT {expected.default}" if expected.default is not None else "DROP DEFAULT"
        statements.append(f"{alter} {new}")
    if "nullable" in finding.fields:
        statements.append(f"{alter} {'DROP' if expected.nullable else 'SET'} NOT NULL")
    statements += [f"{alter} {action}" for action in _rules(found.checks, expected.checks)]
    return Mend(tuple(statements), safe="nullable" not in finding.fields or expected.nullable, caution="")


def _rules(found: tuple[Check, ...], expected: tuple[Check, ...]) -> Iterator[str]:
    here: dict[str, Any] = {rule.name: rule for rule in found}
    there = {rule.name: rule for rule in expected}
    yield from (f"DROP CONSTRAINT {quoted(name)}" for name in here if here[name] != there.get(name))
    for name, rule in there.items():
        if here.get(name) != rule:
            yield f"ADD CONSTRAINT {quoted(name)} {ddl.check(rule)} NOT VALID"
            yield f"VALIDATE CONSTRAINT {quoted(name)}"
