"""The names of a PostgreSQL database's three roles, and their current rights on the schema."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from diwa_schema.database.relations import in_schema
from diwa_schema.database.state import ECTO, LEDGER, PROTECTION, RELEASES, VERSION
from diwa_schema.errors import UsageError
from diwa_schema.names import LONGEST, OURS, quoted

if TYPE_CHECKING:
    from diwa_schema.database.link import Link

Kind = Literal[
    "database",
    "schema",
    "table",
    "sequence",
    "kept table",
    "kept function",
    "future tables",
    "future sequences",
]

# A role that may write these could state that the schema is current, or remove the protection.
READ_ONLY = (VERSION, LEDGER, PROTECTION, ECTO)

# Predefined roles whose power extends beyond the privileges of single tables.
_TOO_STRONG = ("pg_write_all_data", "pg_maintain")

_RESERVED = ("public", "none")


@dataclass(frozen=True, slots=True)
class RoleNames:
    """The names of the three roles.

    Args:
        owner: The role that changes the schema.
        app: The role that reads and writes rows.
        reader: The role that reads rows.
    """

    owner: str = "diwa_owner"
    app: str = "diwa_app"
    reader: str = "diwa_reader"

    def __iter__(self) -> Iterator[str]:
        """Return the three names."""
        return iter((self.owner, self.app, self.reader))

    def refuse_impossible(self) -> None:
        """Raise unless these can be the names of three different roles.

        Raises:
            UsageError: They cannot.
        """
        for name in self:
            too_long = len(name.encode()) > LONGEST
            if not name or too_long or "\0" in name or name.startswith("pg_") or name in _RESERVED:
                raise UsageError(
                    f"'{name}' cannot be the name of a role.",
                    next_step=(
                        "Use a name of 1 to 63 bytes, neither 'public' nor 'none', and without pg_ at its"
                        " start."
                    ),
                )
        if len(set(self)) < len(tuple(self)):
            raise UsageError(
                f"Owner, application and reader are three roles, and two share a name: {', '.join(self)}.",
                next_step="Name three different roles with --owner, --app and --reader.",
            )


@dataclass(frozen=True, slots=True)
class Thing:
    """An object of privileges.

    Args:
        kind: Its kind. The kept ones are this package's own tables and functions: they belong to the owner, and the
            rights of others on them stay unchanged.
        name: Its name; for future tables and sequences the schema, or "" for every schema.
        owner: Its owner; for future ones the role that creates them.
        read_only: Whether only the owner may write it.
    """

    kind: Kind
    name: str
    owner: str
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Grant:
    """One privilege of one role on one object.

    Args:
        thing: The object.
        grantee: The role; None for everybody (PUBLIC).
        privilege: Its name, such as SELECT.
        grantable: Whether the role may grant it to others.
        grantor: The role that granted it; None for the owner.
        column: Whether it covers only some columns.
    """

    thing: Thing
    grantee: str | None
    privilege: str
    grantable: bool = False
    grantor: str | None = None
    column: bool = False


@dataclass(frozen=True, slots=True)
class Membership:
    """One role's membership in another.

    Args:
        role: The role it is a member of.
        member: The member.
        grantor: The role that granted the membership.
    """

    role: str
    member: str
    grantor: str


@dataclass(frozen=True, slots=True)
class Existing:
    """The current roles and rights.

    Args:
        version: The server's major version.
        user: The connected role.
        superuser: Whether it is a superuser.
        acts_as_owner: Whether it may act as the owner role.
        roles: Which of the three roles exist.
        things: The objects of privileges; a missing schema is not among them.
        grants: The privileges that the three roles and PUBLIC have.
        memberships: Memberships that would give the application or the reader excessive rights.
        detours: Roles through which the application or the reader is a member of the owner role.
        bereft: Owners of tables that would lose their rows with the tables, as members of no role that keeps them.
        powers: Attributes and ownerships that privileges do not limit: the role, the power, and the statement that ends
            it.
    """

    version: int
    user: str
    superuser: bool
    acts_as_owner: bool
    roles: frozenset[str]
    things: tuple[Thing, ...]
    grants: frozenset[Grant]
    memberships: tuple[Membership, ...]
    detours: tuple[tuple[str, str], ...]
    bereft: tuple[str, ...]
    powers: tuple[tuple[str, str, str], ...]


def read(link: Link, schema: str, tables: Collection[str], names: RoleNames) -> Existing:
    """Read the current rights of the roles; nothing is written.

    Args:
        link: A connection to a PostgreSQL database.
        schema: The schema of the tables.
        tables: The names of the tables that belong to the schema.
        names: The names of the roles.
    """
    version, user, superuser, acts = link.rows(
        "SELECT current_setting('server_version_num')::int / 10000, current_user::text, rolsuper,"
        " EXISTS (SELECT FROM pg_roles o WHERE o.rolname = %s AND pg_has_role(o.oid, 'USAGE'))"
        " FROM pg_roles WHERE rolname = current_user",
        (names.owner,),
    )[0]
    roles = link.rows("SELECT rolname::text FROM pg_roles WHERE rolname = ANY(%s)", (list(names),))
    # Applications note their releases, so they write that table like the schema's own.
    things, grants = _granted(link, schema, [*tables, RELEASES, *READ_ONLY], names)
    return Existing(
        version=version,
        user=user,
        superuser=superuser,
        acts_as_owner=acts,
        roles=frozenset(row[0] for row in roles),
        things=things,
        grants=grants,
        memberships=_memberships(link, names),
        detours=_detours(link, names),
        bereft=_bereft(link, [thing.owner for thing in things if thing.kind == "table"], names),
        powers=_powers(link, schema, names),
    )


_THINGS = f"""
WITH s AS (SELECT oid, nspname, nspowner, nspacl FROM pg_namespace WHERE nspname = %s),
ours AS (
  SELECT c.*, c.relname AS holder FROM pg_class c
   WHERE c.relnamespace = (SELECT oid FROM s) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
     AND c.relname = ANY(%s)),
sequences AS (
  SELECT c.*, o.relname AS holder FROM pg_class c
    JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i')
    JOIN ours o ON d.refclassid = 'pg_class'::regclass AND d.refobjid = o.oid
   WHERE c.relkind = 'S')
SELECT 'database' AS kind, datname AS name, datdba AS owner, datname AS holder,
       coalesce(datacl, acldefault('d', datdba)) AS acl, false AS part
  FROM pg_database WHERE datname = current_database()
UNION ALL SELECT 'schema', nspname, nspowner, nspname, coalesce(nspacl, acldefault('n', nspowner)), false
  FROM s
UNION ALL SELECT 'table', relname, relowner, holder, coalesce(relacl, acldefault('r', relowner)), false
  FROM ours
UNION ALL SELECT 'table', o.relname, o.relowner, o.holder, a.attacl, true
  FROM ours o JOIN pg_attribute a ON a.attrelid = o.oid WHERE a.attacl IS NOT NULL
UNION ALL SELECT 'sequence', relname, relowner, holder, coalesce(relacl, acldefault('s', relowner)), false
  FROM sequences
UNION ALL SELECT 'kept table', relname, relowner, relname, NULL, false FROM pg_class
 WHERE {in_schema("(SELECT oid FROM s)", relation="pg_class.oid")} AND relkind IN ('r', 'p')
   AND starts_with(relname, %s) AND NOT EXISTS (SELECT FROM ours WHERE ours.oid = pg_class.oid)
UNION ALL SELECT 'kept function', proname, proowner, proname, NULL, false FROM pg_proc
 WHERE {in_schema("(SELECT oid FROM s)", relation="pg_proc.oid", catalog="pg_proc")}
   AND prokind = 'f' AND pronargs = 0 AND starts_with(proname, %s)
UNION ALL SELECT CASE defaclobjtype WHEN 'r' THEN 'future tables' ELSE 'future sequences' END,
       coalesce((SELECT s.nspname FROM s WHERE s.oid = defaclnamespace), ''), defaclrole, '', defaclacl, false
  FROM pg_default_acl WHERE defaclobjtype IN ('r', 'S') AND pg_get_userbyid(defaclrole) = %s
   AND (defaclnamespace = 0 OR defaclnamespace = (SELECT oid FROM s))
"""


def _granted(
    link: Link, schema: str, tables: Sequence[str], names: RoleNames
) -> tuple[tuple[Thing, ...], frozenset[Grant]]:
    rows = link.rows(
        "SELECT t.kind, t.name::text, pg_get_userbyid(t.owner)::text, t.holder::text, t.part, x.grantee = 0,"
        " pg_get_userbyid(x.grantee)::text, x.privilege_type, x.is_grantable,"
        " CASE WHEN x.grantor <> t.owner THEN pg_get_userbyid(x.grantor)::text END"
        f" FROM ({_THINGS}) t LEFT JOIN LATERAL aclexplode(t.acl) x ON true ORDER BY t.kind, t.name",
        (schema, list(tables), OURS, OURS, names.owner),
    )
    future: tuple[Kind, ...] = ("future tables", "future sequences")
    things = dict.fromkeys(Thing(kind, schema, names.owner) for kind in future)
    grants = set()
    for kind, name, owner, holder, part, everybody, grantee, privilege, grantable, grantor in rows:
        thing = Thing(kind, name, owner, holder in READ_ONLY)
        things[thing] = None
        if privilege and (everybody or grantee in set(names)):
            grants.add(Grant(thing, None if everybody else grantee, privilege, grantable, grantor, part))
    return tuple(things), frozenset(grants)


def _memberships(link: Link, names: RoleNames) -> tuple[Membership, ...]:
    rows = link.rows(
        "SELECT g.rolname::text, m.rolname::text, pg_get_userbyid(a.grantor)::text FROM pg_auth_members a"
        " JOIN pg_roles g ON g.oid = a.roleid JOIN pg_roles m ON m.oid = a.member"
        " WHERE (m.rolname = %s AND g.rolname = ANY(%s)) OR (m.rolname = %s AND g.rolname = ANY(%s))"
        " ORDER BY 1, 2",
        (names.app, [names.owner, *_TOO_STRONG], names.reader, [names.owner, names.app, *_TOO_STRONG]),
    )
    return tuple(Membership(*row) for row in rows)


def _detours(link: Link, names: RoleNames) -> tuple[tuple[str, str], ...]:
    rows = link.rows(
        "SELECT r.rolname::text, m.rolname::text FROM pg_auth_members a JOIN pg_roles g ON g.oid = a.roleid"
        " JOIN pg_roles m ON m.oid = a.member JOIN pg_roles r ON r.rolname = ANY(%s)"
        " WHERE g.rolname = %s AND m.oid <> r.oid AND m.rolname <> ALL(%s) AND NOT r.rolsuper"
        " AND pg_has_role(r.oid, m.oid, 'MEMBER') ORDER BY 1, 2",
        ([names.app, names.reader], names.owner, [names.app, names.reader]),
    )
    return tuple((row[0], row[1]) for row in rows)


def _bereft(link: Link, owners: list[str], names: RoleNames) -> tuple[str, ...]:
    rows = link.rows(
        "SELECT m.rolname::text FROM pg_roles m WHERE m.rolname = ANY(%s) AND m.rolname <> ALL(%s)"
        " AND NOT m.rolsuper AND NOT EXISTS (SELECT FROM pg_roles g WHERE g.rolname = ANY(%s)"
        " AND (pg_has_role(m.oid, g.oid, 'USAGE') OR pg_has_role(g.oid, m.oid, 'MEMBER'))) ORDER BY 1",
        (owners, list(names), [names.owner, names.app]),
    )
    return tuple(row[0] for row in rows)


def _powers(link: Link, schema: str, names: RoleNames) -> tuple[tuple[str, str, str], ...]:
    rows = link.rows(
        "SELECT r.rolname::text, r.rolsuper, r.rolcreaterole, d.datname::text, o.rolname::text,"
        " pg_has_role(r.oid, d.datdba, 'MEMBER'), coalesce(pg_has_role(r.oid, n.nspowner, 'MEMBER'), false)"
        " FROM pg_roles r JOIN pg_database d ON d.datname = current_database()"
        " LEFT JOIN pg_namespace n ON n.nspname = %s LEFT JOIN pg_roles o ON o.oid = n.nspowner"
        " WHERE r.rolname = ANY(%s) ORDER BY 1",
        (schema, [names.app, names.reader]),
    )
    found = []
    for role, superuser, creates_roles, database, schema_owner, has_database, has_schema in rows:
        alter, owner = f"ALTER ROLE {quoted(role)}", quoted(names.owner)
        if superuser:  # which has all other powers anyway
            found.append((role, "is a superuser, whom no privilege limits", f"{alter} NOSUPERUSER"))
            continue
        if creates_roles:
            found.append((role, "may create roles and grant them", f"{alter} NOCREATEROLE"))
        if has_database:
            statement = f"ALTER DATABASE {quoted(database)} OWNER TO {owner}"
            found.append((role, "owns the database or is a member of its owner", statement))
        if has_schema and schema_owner != "pg_database_owner":
            statement = f"ALTER SCHEMA {quoted(schema)} OWNER TO {owner}"
            found.append((role, "owns the schema or is a member of its owner", statement))
    return tuple(found)
