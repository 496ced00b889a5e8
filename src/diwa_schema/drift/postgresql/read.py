"""Reading the catalog of a PostgreSQL schema: ten queries, sent in one round trip, that see one state."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from operator import attrgetter, itemgetter
from typing import Any

from diwa_schema.database.link import Link
from diwa_schema.database.version import ECTO, VERSION
from diwa_schema.drift import definition
from diwa_schema.drift.expression import canonical
from diwa_schema.drift.expression import default as canonical_default
from diwa_schema.drift.model import (
    Catalog,
    Column,
    Domain,
    Enum,
    Function,
    Origin,
    Policy,
    Sequence,
    Table,
    View,
)
from diwa_schema.drift.postgresql import queries
from diwa_schema.drift.read import Wanted
from diwa_schema.drift.scan import cut

Rows = list[tuple[Any, ...]]
Parts = dict[int, dict[str, list[Any]]]

_KINDS = {"r": "table", "p": "partitioned table", "f": "foreign table", "v": "view", "m": "materialized view"}
_PERSISTENCE = {"p": "permanent", "u": "unlogged", "t": "temporary"}
_IDENTITY = {"a": "always", "d": "by default"}
_REPLICA = {"d": "DEFAULT", "n": "NOTHING", "f": "FULL"}
_COMMANDS = {"*": "ALL", "r": "SELECT", "a": "INSERT", "w": "UPDATE", "d": "DELETE"}
_HAS_ENFORCED = 180000
_FREE = {
    "functions": queries.FUNCTIONS,
    "sequences": queries.SEQUENCES,
    "types": queries.TYPES,
    "views": queries.VIEWS,
}


def read(link: Link, schema: str | None, wanted: Wanted) -> Catalog:
    """Read the catalog of one schema; see `diwa_schema.drift.read.read`."""
    server = link.raw.info.server_version
    rows = _all(link, schema, wanted, "k.conenforced" if server >= _HAS_ENFORCED else "true")
    if not rows["setting"]:
        return Catalog("postgresql", origin=Origin(schema or "", server=server))
    name, owner, vector, *_ = rows["setting"][0]
    return _assembled(rows, Origin(name, owner, vector, server), named=wanted.tables is not None)


def _all(link: Link, schema: str | None, wanted: Wanted, enforced: str) -> dict[str, Rows]:
    """Run all queries in one round trip, on one state; the connection's search path is the same afterwards."""
    held = {
        "schema": schema,
        "version_tables": [VERSION, ECTO],
        "names": _list(wanted.tables),
        "views": _list(wanted.views),
        "functions": _list(wanted.functions),
    }
    ours = queries.WHOLE_SCHEMA if wanted.tables is None else queries.NAMED
    texts = {
        "setting": queries.SETTING,
        "relations": queries.RELATIONS.format(ours=ours),
        "columns": queries.COLUMNS.format(ours=ours),
        "constraints": queries.CONSTRAINTS.format(ours=ours, enforced=enforced),
        "indexes": queries.INDEXES.format(ours=ours),
        "triggers": queries.TRIGGERS.format(ours=ours),
        "policies": queries.POLICIES.format(ours=ours),
    }
    texts |= {kind: _FREE[kind] for kind in wanted.kinds}
    idle = link.raw.info.transaction_status == 0
    begin = ["BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"] if idle else ["SAVEPOINT diwa_schema_read"]
    # After a ROLLBACK the driver forgets the statements that it has prepared.
    end = ["COMMIT"] if idle else ["ROLLBACK TO diwa_schema_read", "RELEASE diwa_schema_read"]
    with link.raw.pipeline():
        for statement in begin:
            link.raw.execute(statement)
        cursors = {name: link.raw.execute(text, held) for name, text in texts.items()}
        for statement in end:
            link.raw.execute(statement)
        rows = {name: cursor.fetchall() for name, cursor in cursors.items()}
    return {kind: rows.get(kind, []) for kind in (*texts, *_FREE)}


def _list(names: Collection[str] | None) -> str | None:
    """Return an array as the server writes it: the driver would take a list apart again for every query."""
    if names is None:
        return None
    escaped = (name.replace("\\", r"\\").replace('"', r"\"") for name in names)
    return "{" + ",".join(f'"{name}"' for name in escaped) + "}"


def _assembled(rows: dict[str, Rows], origin: Origin, *, named: bool) -> Catalog:
    parts: Parts = defaultdict(lambda: defaultdict(list))
    _add_columns(parts, rows["columns"], rows["constraints"])
    _add_constraints(parts, rows["constraints"])
    of_constraints = {row[8] for row in rows["constraints"] if row[2] in ("u", "x")}
    for table, name, text, unique, valid, itself in rows["indexes"]:
        if itself not in of_constraints:
            parts[table]["indexes"].append(definition.index(name, text, unique=unique, valid=valid))
    for table, name, text, enabled in rows["triggers"]:
        parts[table]["triggers"].append(definition.trigger(name, text, enabled))
    for table, *policy in rows["policies"]:
        parts[table]["policies"].append(_policy(policy))
    return Catalog(
        "postgresql",
        tables=_sorted(
            _table(row, parts[row[0]], origin.owner)
            for row in rows["relations"]
            if named or row[2] not in ("v", "m")
        ),
        sequences=_sorted(Sequence(*row) for row in rows["sequences"]),
        enums=_sorted(Enum(row[0], tuple(row[1])) for row in rows["types"] if row[2] is None),
        domains=_sorted(_domain(row) for row in rows["types"] if row[2] is not None),
        functions=_sorted(_function(*row) for row in rows["functions"]),
        views=_sorted(View(name, " ".join(text.split()).rstrip(";")) for name, text in rows["views"]),
        origin=origin,
    )


def _sorted(items: Any) -> tuple[Any, ...]:
    return tuple(sorted(items, key=attrgetter("name")))


def _table(row: tuple[Any, ...], parts: dict[str, list[Any]], owner: str | None) -> Table:
    _, name, kind, persistence, held_by, secured, forced, identity, identity_index = row
    keys = parts.pop("primary_key", [])
    return Table(
        name,
        primary_key=keys[0] if keys else None,
        kind=_KINDS[kind],
        persistence=_PERSISTENCE[persistence],
        row_security="forced" if secured and forced else "on" if secured else "off",
        replica_identity=_REPLICA.get(identity) or f"USING INDEX {identity_index}",
        owner=held_by if owner is not None and held_by != owner else None,
        **{collection: _sorted(items) for collection, items in parts.items()},
    )


def _add_columns(parts: Parts, columns: Rows, constraints: Rows) -> None:
    unvalidated = {(row[0], row[7][0]) for row in constraints if row[2] == "n"}
    for row in sorted(columns, key=itemgetter(-1)):
        table, name, type_, nullable, expression, identity, generated, collation, number = row
        held = parts[table]["columns"]
        held.append(
            Column(
                name,
                type_,
                nullable=nullable or (table, number) in unvalidated,
                default=None if generated else canonical_default(expression),
                identity=_IDENTITY.get(identity),
                generated=canonical(expression) if generated else None,
                virtual=generated == "v",
                collation=collation,
                position=len(held) + 1,
            )
        )


def _add_constraints(parts: Parts, constraints: Rows) -> None:
    for table, name, kind, text, validated, inherited, enforced, *_ in constraints:
        held = parts[table]
        if kind == "p":
            held["primary_key"].append(definition.key(name, text))
        elif kind == "u":
            held["uniques"].append(definition.key(name, text))
        elif kind == "f":
            held["foreign_keys"].append(
                definition.foreign_key(name, text, validated=validated, enforced=enforced)
            )
        elif kind == "c":
            held["checks"].append(
                definition.check(name, text, inherited=inherited, validated=validated, enforced=enforced)
            )
        elif kind == "x":
            held["exclusions"].append(definition.exclusion(name, text))


def _policy(row: list[Any]) -> Policy:
    name, command, permissive, roles, using, check = row
    return Policy(name, _COMMANDS[command], permissive, tuple(roles), canonical(using), canonical(check))


def _domain(row: tuple[Any, ...]) -> Domain:
    name, _, base, nullable, expression, collation, checks = row
    held = tuple(definition.check(*one[:2], validated=one[2] == "true") for one in checks)
    return Domain(name, base, nullable, canonical_default(expression), collation, held)


def _function(signature: str, text: str) -> Function:
    return Function(signature, cut(text)[1].strip())
