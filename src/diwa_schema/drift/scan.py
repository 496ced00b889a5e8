"""Splitting SQL text at commas, brackets and names, and normalising expressions.

PostgreSQL stores ``status IN ('a', 'b')`` over a varchar with the cast around the whole list, and after
`pg_dump | psql` with a cast around every member: the two mean the same and must read the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from diwa_schema.names import quoted

_PIECES = re.compile(
    r"""'(?:[^']|'')*' | "(?:[^"]|"")*" | `[^`]*` | \[(?:'(?:[^']|'')*'|[^\]'])*\]
    | --[^\n]* | /\*.*?\*/ | [(),]""",
    re.DOTALL | re.VERBOSE,
)
# Most texts are plain lists; splitting them at their commas is ten times as fast.
_MARKS = frozenset("'\"`[(-/")
_PLAIN_BRACKET = re.compile(r"[^'\"`\[()/-]*\(([^'\"`\[()/-]*)\)")
_NAME = re.compile(r"([A-Za-z_]\w*)( .*)?")
_QUOTED_WORD = re.compile(r'"([a-z_][a-z0-9_]*)"(?= |$)')


def split(text: str) -> tuple[str, ...]:
    """Return the parts between the commas outside of brackets and quotes."""
    if not _MARKS.intersection(text):
        return tuple(part.strip() for part in text.split(","))
    parts, depth, start = [], 0, 0
    for piece in _PIECES.finditer(text):
        mark = piece.group()
        depth += (mark == "(") - (mark == ")")
        if mark == "," and depth == 0:
            parts.append(text[start : piece.start()].strip())
            start = piece.end()
    parts.append(text[start:].strip())
    return tuple(parts)


def bracket(text: str, start: int = 0) -> tuple[int, int]:
    """Return the positions of the first bracket from a position on and of its end; (-1, -1) without one."""
    depth, opened = 0, -1
    for piece in _PIECES.finditer(text, start):
        mark = piece.group()
        if mark == "(":
            opened = piece.start() if depth == 0 else opened
            depth += 1
        elif mark == ")":
            depth -= 1
            if depth == 0:
                return opened, piece.start()
    return -1, -1


def cut(text: str, start: int = 0) -> tuple[str, str]:
    """Return the content of the first bracket after a position, and the rest."""
    if plain_one := _PLAIN_BRACKET.match(text, start):
        return plain_one.group(1), text[plain_one.end() :]
    opened, closed = bracket(text, start)
    return (text[opened + 1 : closed], text[closed + 1 :]) if opened >= 0 else ("", text[start:])


def unwrapped(expression: str) -> str:
    """Return an expression without outer brackets."""
    text = expression.strip()
    while text.startswith("(") and bracket(text) == (0, len(text) - 1):
        text = text[1:-1].strip()
    return text


def plain(text: str) -> str:
    """Return a name, with the text after it, without unnecessary quotes.

    Servers quote their keywords, and every version has other keywords.
    """
    return _QUOTED_WORD.sub(r"\1", text, count=1) if text.startswith('"') else text


def names(text: str) -> tuple[str, ...]:
    """Return the names of a list, without unnecessary quotes."""
    return tuple(plain(part) for part in split(text))


def unquoted(name: str) -> str:
    """Return the name of a quoted or unquoted identifier."""
    if name[:1] in ('"', "`") and len(name) > 1:
        return name[1:-1].replace(name[0] * 2, name[0])
    if name[:1] == "[" and name[-1:] == "]":
        return name[1:-1]
    return name


def listed(pieces: Iterable[str]) -> str:
    """Return columns or expressions as a list in brackets, names quoted: the opposite of `names`."""
    found = ((piece, _NAME.fullmatch(piece)) for piece in pieces)
    return f"({', '.join(quoted(one[1]) + (one[2] or '') if one else piece for piece, one in found)})"


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

    def members_cast(found: re.Match[str]) -> str:
        members = _MEMBER.sub(r"\1::text", found[1])
        return f"ARRAY[{members}]"

    return unwrapped(_TWICE_CAST.sub(r"\1::text", _LIST_CAST.sub(members_cast, unwrapped(expression))))


def default(expression: str | None) -> str | None:
    """Return a default; ``DEFAULT NULL`` is none."""
    if expression is None:
        return None
    text = unwrapped(expression)
    return None if _NULL.fullmatch(text) else text
