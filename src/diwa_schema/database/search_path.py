"""The search path of a PostgreSQL connection, and the schema intended for its unqualified names.

The server skips absent schemas. A connection with the path `tenant, public` works in public until somebody creates the
schema `tenant`, and until then it reads another tenant's tables. The first schema of the path is therefore the intended
one, and the package reports if the server would use a later one.
"""

from __future__ import annotations

import re
from string import ascii_lowercase, ascii_uppercase

from diwa_schema.names import LONGEST

USER = "$user"

_NAME = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^",]*))\s*(?:,|\Z)')
_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)


def names(path: str) -> list[str]:
    """Return the schemas of a search path as the server reads them; `$user` stays `$user`."""
    found = []
    for quoted, plain in _NAME.findall(path):
        name = quoted.replace('""', '"') if quoted else plain.strip().translate(_LOWER)
        if name:
            found.append(name.encode()[:LONGEST].decode(errors="ignore"))
    return found


def passed_over(path: str, role: str, taken: str) -> str | None:
    """Return the schema that a path names before the one that the server uses; None if the server uses the first.

    The schema with the name of the role may be missing: every default path begins with it.

    Args:
        path: The setting.
        role: The connected role.
        taken: The schema for unqualified new names.
    """
    for name in names(path):
        if name == taken or (name == USER and role == taken):
            return None
        if name != USER and not name.startswith("pg_"):
            return name
    return None
