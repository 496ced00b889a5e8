"""Text for people on a terminal: lines end at words, within its width. Only here is that rule written.

A command or an SQL statement is there to be copied, so it stays on one line, however long. A pipe or a file gets the
text as it is: another program may read it line by line.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import TextIO

_LEAST = 20  # columns; a narrower terminal wraps by itself
_INDENT = 2

_QUOTED = r"'(?:[^']|'\"'\"')*'"
_WORD = rf"(?:{_QUOTED}|[^\s'])*(?:{_QUOTED}|[^\s'.,;:)])"  # a full stop after a command is not part of it
# A word that is no English: a revision, a path, a URL, a name with an underscore, a word in capitals.
_STRANGE = rf"(?=[^\s.,;)]*[\d_/:@=<'A-Z~]|head\b|base\b|ecto\.){_WORD}"
_OPTION = rf"--?(?=[\w-])(?:[\w-]+={_WORD}|[\w-]*\w(?: (?!-){_WORD})?|(?![\w-]))"
_PROGRAM = (
    r"(?:diwa-schema|python -m [\w.]+|pip install|mix|alembic|psql|sqlite3|createdb|pg_dump|pg_restore"
    r"|export \w+=|git(?= -| \w+ -))"
)
_COMMAND = (
    rf"(?:\b[A-Z_]{{3,}}={_WORD} )*(?<![\w/.-]){_PROGRAM}(?= )"
    rf"(?: (?:fleet|export|mix|completion|do))?(?: (?!-){_WORD})?(?: (?:{_OPTION}|{_STRANGE})|,? ecto\.\w+)*"
)
_VERB = (
    r"(?:ALTER|CREATE|DROP|COMMENT ON|GRANT|REVOKE|REINDEX|VACUUM|ANALYZE|TRUNCATE|LOCK|SET|RESET|REFRESH"
    r"|SELECT|INSERT INTO|UPDATE|DELETE FROM|MERGE INTO|WITH|DO|BEGIN|COMMIT|VALIDATE|CALL|PRAGMA)\b"
)
# A statement begins a line, or follows the colon of its sentence, and extends to its semicolon.
_STATEMENT = rf"(?:(?<=: )|^ *){_VERB}(?:{_QUOTED}|\"[^\"]*\"|[^;'\"])*(?:;|$)"
_WHOLE = re.compile(rf"`[^`]*`|{_STATEMENT}|{_COMMAND}")
_OPENED = re.compile(rf"^ *{_VERB}(?:.*[^;])?$")
_DOLLARS = re.compile(r"\$\w*\$")
_COLUMN = re.compile(r" *(?:[-*] |\S+ {2,})")


def fitted(text: str, stream: TextIO) -> str:
    """Return a text for a stream: wrapped if it is a terminal, unchanged otherwise."""
    width = _width(stream)
    return wrapped(text, width) if width else text


def wrapped(text: str, width: int) -> str:
    """Return a text in lines of a width; the rest of a long line is indented below its text."""
    if width < _LEAST or all(len(line) <= width for line in text.split("\n")):
        return text
    return "\n".join(
        part for line, kept in _lines(text) for part in ([line] if kept else _parts(line, width))
    )


def _width(stream: TextIO) -> int:
    """Return the columns of a terminal; 0 if the stream is none, or the terminal does not tell."""
    try:
        if not stream.isatty():
            return 0
        chosen = os.environ.get("COLUMNS", "")
        return int(chosen) if chosen.isdecimal() else os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        return 0


def _lines(text: str) -> Iterator[tuple[str, bool]]:
    """Yield the lines, each with whether it belongs to a statement of several lines."""
    lines = text.split("\n")
    last = -1
    for at, line in enumerate(lines):
        if at > last and _OPENED.match(line):
            last = _end(lines, at)
        yield line, at <= last


def _end(lines: list[str], first: int) -> int:
    """Return the last line of a statement: the next one with a semicolon, outside of the code of a function."""
    inside = False
    for at, line in enumerate(lines[first:], first):
        if not line.strip() and not inside:
            break
        inside ^= len(_DOLLARS.findall(line)) % 2 == 1
        if line.rstrip().endswith(";") and not inside:
            return at
    return first - 1


def _parts(line: str, width: int) -> Iterator[str]:
    if len(line) <= width:
        yield line
        return
    indent = len(line) - len(line.lstrip(" "))
    column = _COLUMN.match(line)
    hanging = len(column[0]) if column else indent + _INDENT
    if hanging > width // 3:
        hanging = min(indent + _INDENT, width // 3)
    label = column[0].strip() if column else ""
    part, blanks = "", ""
    for word in _words(line):
        if not word.strip(" "):
            blanks = word
        elif part.strip(" ") not in ("", label) and len(part) + len(blanks) + len(word) > width:
            yield part
            part, blanks = " " * hanging + word, ""
        else:
            part, blanks = f"{part}{blanks}{word}", ""
    yield part


def _words(line: str) -> Iterator[str]:
    """Yield the words and the blanks between them; what is there to be copied is one word, with its punctuation."""
    held = ""
    end = 0
    for found in [*_WHOLE.finditer(line), None]:
        between = line[end : found.start() if found else len(line)]
        for piece in re.findall(r" +|[^ ]+", between):
            if piece.startswith(" "):
                if held:
                    yield held
                yield piece
                held = ""
            else:
                held += piece
        if found:
            blanks = len(found[0]) - len(found[0].lstrip(" "))
            if blanks:
                yield " " * blanks
            held += found[0][blanks:]
            end = found.end()
    if held:
        yield held
