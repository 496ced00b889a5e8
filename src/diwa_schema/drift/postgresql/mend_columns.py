"""What makes a PostgreSQL column what it should be, and whether a live table can take it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from diwa_schema.drift.difference import Mend
from diwa_schema.drift.model import Catalog, Column, Table
from diwa_schema.drift.postgresql import write as ddl
from diwa_schema.drift.postgresql.write import Writer
from diwa_schema.names import quoted

REWRITE = "The table is rewritten while nobody can read or write it."
LOST = "The values in the column are lost."
UNFILLED = "It fails while the table has rows: add the column without NOT NULL, fill it, then demand it."
FILLED_FIRST = "It fails, and changes nothing, where the column holds NULL: fill these rows first."

_HAS_SET_EXPRESSION = 170000
_STABLE = frozenset({"now()", "CURRENT_TIMESTAMP", "CURRENT_DATE", "LOCALTIMESTAMP"})
_CALL = re.compile(r"\b\w+\(")
_NO_CALL = re.compile(r"'(?:[^']|'')*'|::[a-z ]+\(\d+\)")
_LENGTH = re.compile(r"character varying\((\d+)\)(\[\])?")
_PRECISION = re.compile(r"timestamp(?:\((\d)\))? (with(?:out)? time zone)")
_FAMILIES = (
    re.compile(r"(?:smallint|integer|bigint|numeric(?:\(.*\))?|real|double precision)"),
    re.compile(r"(?:text|character(?: varying)?(?:\(\d+\))?)"),
    re.compile(r"(?:timestamp(?:\(\d\))? with(?:out)? time zone|date)"),
)


def missing(write: Writer, table: str, one: Column) -> Mend:
    """Return what adds a column."""
    declared = ddl.column(one)
    add = write.alter(table, f"ADD COLUMN {declared}")
    if one.generated is not None and not one.virtual:
        return Mend((add,), safe=False, caution=REWRITE)
    if one.identity:
        return Mend((add,), safe=False, caution=REWRITE)
    if one.default is not None and volatile(one.default):
        if not one.nullable:
            return Mend((add,), safe=False, caution=REWRITE)
        bare = f"ADD COLUMN {quoted(one.name)} {one.type}"
        default = f"ALTER COLUMN {quoted(one.name)} SET DEFAULT {one.default}"
        return Mend((write.alter(table, bare), write.alter(table, default)))
    if not one.nullable and one.default is None:
        return Mend((add,), safe=False, caution=UNFILLED)
    return Mend((add,))


def changed(write: Writer, live: Catalog, table: Table, found: Column, expected: Column) -> Mend:
    """Return what makes one column the other; tables keep their values where that is possible."""
    if found.generated != expected.generated or found.virtual != expected.virtual:
        return _generated(write, live.origin.server, table, found, expected)
    statements: list[str] = []
    caution, safe = "", True
    if (found.type, found.collation) != (expected.type, expected.collation):
        statements += _retype(write, table.name, found, expected)
        safe = widens(found, expected)
        caution = "" if safe else REWRITE
    elif found.default != expected.default or (found.identity is None and expected.identity):
        statements += _default(write, table.name, expected)
    if found.nullable and not expected.nullable:
        statements += _not_null(write, table.name, expected)
        caution = caution or FILLED_FIRST
    statements += _identity(write, table.name, found, expected)
    if expected.nullable and not found.nullable:
        statements.append(write.alter(table.name, f"ALTER COLUMN {quoted(expected.name)} DROP NOT NULL"))
    return Mend(tuple(statements), safe=safe, caution=caution)


def volatile(default: str) -> bool:
    """Return whether a default has to be computed for every row."""
    calls = _CALL.search(_NO_CALL.sub("", default))
    return default not in _STABLE and calls is not None


def widens(found: Column, expected: Column) -> bool:
    """Return whether every value fits as it is stored, so that the table is not rewritten."""
    if found.collation != expected.collation:
        return False
    one, other = _LENGTH.fullmatch(found.type), _LENGTH.fullmatch(expected.type)
    if one:
        text = "text[]" if one.group(2) else "text"
        varying = "character varying[]" if one.group(2) else "character varying"
        if other:
            return one.group(2) == other.group(2) and int(one.group(1)) <= int(other.group(1))
        return expected.type in (text, varying)
    before, after = _PRECISION.fullmatch(found.type), _PRECISION.fullmatch(expected.type)
    if before and after:
        return before.group(2) == after.group(2) and (before.group(1) or "6") <= (after.group(1) or "6")
    return False


def _retype(write: Writer, table: str, found: Column, expected: Column) -> Iterator[str]:
    name = quoted(expected.name)
    # The default of the old type may have no cast to the new one.
    if found.default is not None:
        yield write.alter(table, f"ALTER COLUMN {name} DROP DEFAULT")
    collate = f" COLLATE {quoted(expected.collation)}" if expected.collation else ""
    using = "" if widens(found, expected) else f" USING {name}{_cast(found.type, expected.type)}"
    yield write.alter(table, f"ALTER COLUMN {name} TYPE {expected.type}{collate}{using}")
    if expected.default is not None:
        yield from _default(write, table, expected)


def _cast(found: str, expected: str) -> str:
    alike = any(family.fullmatch(found) and family.fullmatch(expected) for family in _FAMILIES)
    return f"::{expected}" if alike or found == expected else f"::text::{expected}"


def _default(write: Writer, table: str, expected: Column) -> Iterator[str]:
    action = "DROP DEFAULT" if expected.default is None else f"SET DEFAULT {expected.default}"
    yield write.alter(table, f"ALTER COLUMN {quoted(expected.name)} {action}")


def _not_null(write: Writer, table: str, expected: Column) -> Iterator[str]:
    """Yield steps of which none holds a strong lock while it looks at the rows."""
    rule = quoted(f"{expected.name[:50]}_is_filled")
    name = quoted(expected.name)
    yield write.alter(table, f"ADD CONSTRAINT {rule} CHECK ({name} IS NOT NULL) NOT VALID")
    yield write.alter(table, f"VALIDATE CONSTRAINT {rule}")
    yield write.alter(table, f"ALTER COLUMN {name} SET NOT NULL")
    yield write.alter(table, f"DROP CONSTRAINT {rule}")


def _identity(write: Writer, table: str, found: Column, expected: Column) -> Iterator[str]:
    name = quoted(expected.name)
    if found.identity == expected.identity:
        return
    if expected.identity is None:
        yield write.alter(table, f"ALTER COLUMN {name} DROP IDENTITY")
        if expected.default is not None:
            yield from _default(write, table, expected)
    elif found.identity is None:
        yield write.alter(table, f"ALTER COLUMN {name} ADD {ddl.identity(expected)}")
    else:
        yield write.alter(table, f"ALTER COLUMN {name} SET GENERATED {expected.identity.upper()}")


def _generated(write: Writer, server: int, table: Table, found: Column, expected: Column) -> Mend:
    name = quoted(expected.name)
    kept = expected.generated is None and not found.virtual
    if kept and found.type == expected.type:
        statements = [write.alter(table.name, f"ALTER COLUMN {name} DROP EXPRESSION")]
        statements += [] if expected.default is None else _default(write, table.name, expected)
        return Mend(tuple(statements))
    both = None not in (found.generated, expected.generated) and found.virtual == expected.virtual
    if both and found.type == expected.type and server >= _HAS_SET_EXPRESSION:
        setting = f"ALTER COLUMN {name} SET EXPRESSION AS ({expected.generated})"
        return Mend((write.alter(table.name, setting),), safe=found.virtual, caution=REWRITE)
    # Dropping a column takes its indexes along.
    return Mend(
        (
            write.alter(table.name, f"DROP COLUMN {name}"),
            write.alter(table.name, f"ADD COLUMN {ddl.column(expected)}"),
            *(write.index(table.name, index) for index in table.indexes if _on(index.columns, expected.name)),
        ),
        safe=False,
        caution=LOST,
    )


def _on(pieces: tuple[str, ...], name: str) -> bool:
    return any(re.search(rf"\b{re.escape(name)}\b", piece) for piece in pieces)
