"""One way of writing an expression.

PostgreSQL stores ``status IN ('a', 'b')`` over a varchar with the cast around the whole list, and after
`pg_dump | psql` with a cast around every member: the two mean the same and must read the same.
"""

from __future__ import annotations

import re

from diwa_schema.drift.scan import unwrapped

_STRING = r"'(?:[^']|'')*'"
_TEXTUAL = r"(?:character varying|varchar|text)"
_TWICE_CAST = re.compile(rf"\(({_STRING})::{_TEXTUAL}\)::text")
_LIST_CAST = re.compile(rf"\(ARRAY\[((?:{_STRING}::{_TEXTUAL}(?:, )?)+)\]\)::text\[\]")
_MEMBER = re.compile(rf"({_STRING})::{_TEXTUAL}")
_NULL = re.compile(r"NULL(?:::.*)?", re.IGNORECASE)


def canonical(expression: str | None) -> str | None:
    """Return a predicate or check in the form that survives being dumped and loaded."""
    if expression is None:
        return None
    text = unwrapped(expression)
    return unwrapped(_TWICE_CAST.sub(r"\1::text", _LIST_CAST.sub(_members_cast, text)))


def _members_cast(found: re.Match[str]) -> str:
    members = _MEMBER.sub(r"\1::text", found.group(1))
    return f"ARRAY[{members}]"


def default(expression: str | None) -> str | None:
    """Return a default; ``DEFAULT NULL`` is none."""
    if expression is None:
        return None
    text = unwrapped(expression)
    return None if _NULL.fullmatch(text) else text
