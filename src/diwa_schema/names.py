"""The spelling of names and texts in SQL: the only quoting code in the package; and of counted things.

PostgreSQL keeps 63 bytes of a name and drops the rest without an error, so two long names can become equal. This module
therefore cuts derived names itself, and a cut name ends in a digest of the whole name.
"""

from __future__ import annotations

from hashlib import sha256

LONGEST = 63  # bytes, as PostgreSQL cuts names

# All objects that this package creates for itself have this prefix: the state of the schema, the notes of a change in
# progress, the objects that a revision or an adoption has set aside, the functions that fill columns. Roles transfer
# them by this prefix, and the drop of a tenant includes them.
OURS = "diwa_schema_"

_DIGITS = 8


def amount(number: int, thing: str, verb: str = "") -> str:
    """Return a number of things for people, and what they do: "1 row breaks", "1,200 rows break".

    Args:
        number: The number.
        thing: The thing in the singular.
        verb: The verb for one thing, which ends in s.
    """
    counted = f"{number:,} {thing}{'' if number == 1 else 's'}"
    return f"{counted} {verb if number == 1 else verb.removesuffix('s')}" if verb else counted


def on_one_line(text: str) -> str:
    """Return a text that stays on its line and that no terminal obeys, whatever names others gave."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def quoted(name: str) -> str:
    """Return a name as an identifier in double quotes, as PostgreSQL and SQLite read it."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str | None) -> str:
    """Return a text as an SQL literal; None is NULL. A backslash stays itself, regardless of session settings."""
    if value is None:
        return "NULL"
    text = value.replace("'", "''")
    return f" E'{text.replace(chr(92), chr(92) * 2)}'" if "\\" in text else f"'{text}'"


def code(text: str) -> str:
    """Return the code of a block or a function as a literal, regardless of the names in it.

    It stands between dollar signs, as usual, unless it contains one itself, which might end it.
    """
    return f"$do${text}$do$" if "$" not in text else literal(text)


def qualified(schema: str, name: str) -> str:
    """Return the name of an object in a schema, valid with any search path."""
    return f"{quoted(schema)}.{quoted(name)}"


def cut(name: str, *, suffix: str = "") -> str:
    """Return a derived name in at most 63 bytes, with its suffix complete.

    A short enough name stays unchanged. Of a longer name, the beginning is kept, followed by eight digits of a digest
    of the whole name: names that differ anywhere stay different.
    """
    whole = f"{name}{suffix}"
    if len(whole.encode()) <= LONGEST:
        return whole
    end = f"_{sha256(name.encode()).hexdigest()[:_DIGITS]}{suffix}"
    return name.encode()[: LONGEST - len(end.encode())].decode(errors="ignore") + end
