"""A PostgreSQL script split into statements, for servers that accept one at a time."""

from __future__ import annotations

import re

# Comments, quoted texts and code: a semicolon in them ends no statement.
QUOTED = re.compile(r"""--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|"(?:[^"]|"")*"|(\$\w*\$).*?\1""", re.DOTALL)


def statements(sql: str) -> list[str]:
    """Return the statements of a script unchanged, without the semicolons at their ends."""
    plain = QUOTED.sub(lambda found: "." * len(found[0]), sql)
    ends = [found.start() for found in re.finditer(";", plain)]
    parts = (
        sql[start:end] for start, end in zip([0, *(end + 1 for end in ends)], [*ends, len(sql)], strict=True)
    )
    return [part.strip() for part in parts if part.strip()]
