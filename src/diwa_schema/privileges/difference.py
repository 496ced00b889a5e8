"""The expected rights of the three roles, and the SQL that creates them from the current ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from diwa_schema.names import qualified, quoted
from diwa_schema.privileges.existing import Existing, Kind, RoleNames, Thing

_ROWS = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"})
_LOOK = frozenset({"SELECT"})
_NONE: frozenset[str] = frozenset()

_OWNER: dict[Kind, frozenset[str]] = {
    "database": frozenset({"CONNECT", "CREATE", "TEMPORARY"}),
    "schema": frozenset({"USAGE", "CREATE"}),
}
_APP: dict[Kind, frozenset[str]] = {
    "database": frozenset({"CONNECT"}),
    "schema": frozenset({"USAGE"}),
    "table": _ROWS,
    "sequence": frozenset({"USAGE", "SELECT"}),
    "future tables": _ROWS,
    "future sequences": frozenset({"USAGE", "SELECT"}),
}
_READER: dict[Kind, frozenset[str]] = _APP | dict.fromkeys(
    ("table", "sequence", "future tables", "future sequences"), _LOOK
)
# Rights that do not concern the schema's tables stay as they are.
_TOLERATED: dict[Kind, frozenset[str]] = {
    "database": frozenset({"CONNECT", "TEMPORARY"}),
    "schema": frozenset({"USAGE"}),
}

_FUTURE = ("future tables", "future sequences")
_KEPT = ("kept table", "kept function")


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement on the way from the current to the expected rights.

    Args:
        kind: Whether a right is missing, excessive, or to be decided by a person.
        what: The difference.
        sql: The statement that changes it, without a final semicolon.
    """

    kind: Literal["missing", "too much", "by hand"]
    what: str
    sql: str


@dataclass(frozen=True, slots=True)
class Roles:
    """The difference between a database's roles and the expected ones.

    Args:
        database: The masked URL.
        schema: The schema of the tables.
        names: The names of the roles.
        changes: The statements of `apply`, in order.
        by_hand: The statements that a person must run.
        applied: Whether the changes were run.
    """

    database: str
    schema: str
    names: RoleNames
    changes: tuple[Statement, ...]
    by_hand: tuple[Statement, ...]
    applied: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return the difference as a document for ``--json``."""
        return asdict(self)


def compare(
    existing: Existing, shown: str, schema: str, names: RoleNames, *, take_ownership: bool = False
) -> Roles:
    """Return the statements from the current to the expected rights; nothing is read or changed.

    Args:
        existing: The current rights.
        shown: The database's masked URL.
        schema: The schema of the tables.
        names: The names of the roles.
        take_ownership: Whether the changes include the transfer of tables to the owner role.
    """
    owned = tuple(_ownership(existing, schema, names))
    then = _handed_over(existing, names) if take_ownership else existing
    changes = (
        *_roles(existing, schema, names),
        # Only a role with CREATE on the schema can receive its tables, unless a superuser gives them.
        *_missing(then, schema, names, (names.owner,)),
        *(replace(change, kind="missing") for change in owned if take_ownership),
        *_memberships(existing),
        *_missing(then, schema, names, (names.app, names.reader)),
        *_too_much(then, schema, names),
    )
    by_hand = (*_powers(existing), *_detours(existing, names), *(() if take_ownership else owned))
    return Roles(shown, schema, names, changes, by_hand)


def _roles(existing: Existing, schema: str, names: RoleNames) -> Iterator[Statement]:
    for name in names:
        if name not in existing.roles:
            yield Statement("missing", f"role {name}", f"CREATE ROLE {quoted(name)} NOLOGIN")
    if not existing.superuser and not existing.acts_as_owner:
        what = f"{existing.user} cannot act for {names.owner}, which default privileges need"
        yield Statement("missing", what, f"GRANT {quoted(names.owner)} TO CURRENT_USER")
    if not any(thing.kind == "schema" for thing in existing.things):
        sql = f"CREATE SCHEMA {quoted(schema)} AUTHORIZATION {quoted(names.owner)}"
        yield Statement("missing", f"schema {schema}", sql)


def _ownership(existing: Existing, schema: str, names: RoleNames) -> Iterator[Statement]:
    # First, because an application that runs as the owner of its tables would lose every row with them.
    for owner in existing.bereft:
        sql = f"GRANT {quoted(names.app)} TO {quoted(owner)}"
        if existing.version >= 16:  # noqa: PLR2004 - where a grant says whether the member inherits
            sql += " WITH INHERIT TRUE"
        yield Statement(
            "by hand", f"{owner} owns tables; it keeps their rows as a member of {names.app}", sql
        )
    for thing in existing.things:
        if thing.kind in ("table", *_KEPT) and thing.owner != names.owner:
            noun = thing.kind.removeprefix("kept ")
            what = f"{noun} {thing.name} belongs to {thing.owner}; only its owner can change it"
            called = qualified(schema, thing.name) + ("()" if noun == "function" else "")
            sql = f"ALTER {noun.upper()} {called} OWNER TO {quoted(names.owner)}"
            yield Statement("by hand", what, sql)


def _handed_over(existing: Existing, names: RoleNames) -> Existing:
    """Return the rights after the transfer of the tables to the owner role; their owners' rights went with them."""

    def moved(thing: Thing) -> Thing:
        return replace(thing, owner=names.owner) if thing.kind in ("table", "sequence", *_KEPT) else thing

    grants = {
        replace(grant, thing=moved(grant.thing))
        for grant in existing.grants
        if grant.thing == moved(grant.thing) or grant.grantee != grant.thing.owner
    }
    return replace(existing, things=tuple(map(moved, existing.things)), grants=frozenset(grants))


def _memberships(existing: Existing) -> Iterator[Statement]:
    for one in existing.memberships:
        sql = f"REVOKE {quoted(one.role)} FROM {quoted(one.member)}"
        if existing.version >= 16:  # noqa: PLR2004 - where memberships belong to who granted them
            sql += f" GRANTED BY {quoted(one.grantor)}"
        yield Statement("too much", f"{one.member} is a member of {one.role}", sql)


def _wanted(role: str, names: RoleNames, thing: Thing) -> frozenset[str]:
    if thing.kind in _KEPT or (thing.owner == role and thing.kind not in _FUTURE):
        return _NONE  # the owner's rights are its own
    if role == names.owner:
        return _OWNER.get(thing.kind, _NONE)
    if thing.read_only and thing.kind == "table":
        return _LOOK
    return (_APP if role == names.app else _READER)[thing.kind]


def _missing(
    existing: Existing, schema: str, names: RoleNames, roles: tuple[str, ...]
) -> Iterator[Statement]:
    held: dict[tuple[Kind, str, str | None], set[str]] = defaultdict(set)
    for grant in existing.grants:
        if not grant.column:
            held[grant.thing.kind, grant.thing.name, grant.grantee].add(grant.privilege)
    things = sorted((thing for thing in existing.things if thing.name), key=_order)
    if not any(thing.kind == "schema" for thing in things):
        things.insert(1, Thing("schema", schema, names.owner))
    groups: dict[tuple[Kind, str, frozenset[str]], list[Thing]] = defaultdict(list)
    for role in roles:
        for thing in things:
            lacking = _wanted(role, names, thing) - held[thing.kind, thing.name, role]
            if lacking:
                groups[thing.kind, role, lacking].append(thing)
    for (kind, role, lacking), on in groups.items():
        privileges = ", ".join(sorted(lacking))
        sql = f"{_defaults(on[0])}GRANT {privileges} ON {_on(kind, schema, on)} TO {quoted(role)}"
        yield Statement("missing", f"{role} lacks {privileges} on {_listed(kind, on)}", sql)


@dataclass(frozen=True, slots=True)
class _Excess:
    """The common facts of excessive privileges that one statement revokes."""

    kind: Kind
    scope: str
    grantee: str | None
    only_option: bool
    grantor: str | None


def _too_much(existing: Existing, schema: str, names: RoleNames) -> Iterator[Statement]:
    groups: dict[_Excess, dict[Thing, set[str]]] = defaultdict(lambda: defaultdict(set))
    for grant in sorted(existing.grants, key=lambda one: (one.thing.kind, one.thing.name, one.grantee or "")):
        thing = grant.thing
        if grant.grantee in (names.owner, thing.owner):
            continue
        allowed = _TOLERATED.get(thing.kind, _NONE)
        if grant.grantee is not None:
            allowed |= _wanted(grant.grantee, names, thing)
        if grant.privilege not in allowed or grant.grantable:
            scope = thing.name if thing.kind in _FUTURE else schema
            excess = _Excess(thing.kind, scope, grant.grantee, grant.privilege in allowed, grant.grantor)
            groups[excess][thing].add(grant.privilege)
    for excess, on in groups.items():
        for privileges, things in _alike(on).items():
            yield _revoke(excess, ", ".join(privileges), things, schema)


def _revoke(excess: _Excess, privileges: str, things: list[Thing], schema: str) -> Statement:
    role = "PUBLIC" if excess.grantee is None else quoted(excess.grantee)
    option = "GRANT OPTION FOR " if excess.only_option else ""
    sql = (
        f"{_defaults(things[0])}REVOKE {option}{privileges} ON {_on(excess.kind, schema, things)} FROM {role}"
    )
    if excess.grantor:  # only the grantor can revoke it
        sql = f"SET LOCAL ROLE {quoted(excess.grantor)}; {sql}; RESET ROLE"
    may = "may hand on" if excess.only_option else "has"
    what = f"{excess.grantee or 'PUBLIC'} {may} {privileges} on {_listed(excess.kind, things)}"
    return Statement("too much", what, sql)


def _alike(on: dict[Thing, set[str]]) -> dict[tuple[str, ...], list[Thing]]:
    alike: dict[tuple[str, ...], list[Thing]] = defaultdict(list)
    for thing, privileges in on.items():
        alike[tuple(sorted(privileges))].append(thing)
    return alike


def _powers(existing: Existing) -> Iterator[Statement]:
    for role, power, sql in existing.powers:
        yield Statement("by hand", f"{role} {power}", sql)


def _detours(existing: Existing, names: RoleNames) -> Iterator[Statement]:
    for role, through in existing.detours:
        what = f"{role} is a member of {names.owner} through {through}"
        yield Statement("by hand", what, f"REVOKE {quoted(names.owner)} FROM {quoted(through)}")


def _order(thing: Thing) -> tuple[int, str]:
    return get_args(Kind).index(thing.kind), thing.name


def _defaults(thing: Thing) -> str:
    if thing.kind not in _FUTURE:
        return ""
    scope = f" IN SCHEMA {quoted(thing.name)}" if thing.name else ""
    return f"ALTER DEFAULT PRIVILEGES FOR ROLE {quoted(thing.owner)}{scope} "


def _on(kind: Kind, schema: str, things: list[Thing]) -> str:
    if kind in _FUTURE:
        return kind.removeprefix("future ").upper()
    inside = kind in ("table", "sequence")
    return f"{kind.upper()} " + ", ".join(
        qualified(schema, thing.name) if inside else quoted(thing.name) for thing in things
    )


def _listed(kind: Kind, things: list[Thing]) -> str:
    if kind in _FUTURE:
        return f"{kind} of {things[0].owner}"
    plural = f"{kind}s" if len(things) > 1 else kind
    return f"{plural} {', '.join(thing.name for thing in things)}"
