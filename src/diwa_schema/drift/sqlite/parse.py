"""Parsing the facts that SQLite keeps only in a table's text: constraint names, checks, collations, expressions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from diwa_schema.drift.scan import bracket, split, unquoted, unwrapped
from diwa_schema.names import quoted

_COMMENT = re.compile(r"""('(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`)|--[^\n]*|/\*.*?\*/""", re.DOTALL)
_WORD = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|\[[^\]]*\]|[^\s(]+""")
_INDEX = re.compile(r"CREATE\s+(?:UNIQUE\s+)?INDEX\s+(?:IF\s+NOT\s+EXISTS\s+)?", re.IGNORECASE)
_TRIGGER = re.compile(r"CREATE\s+(?:TEMP\w*\s+)?TRIGGER\s+(?:IF\s+NOT\s+EXISTS\s+)?", re.IGNORECASE)
_VIRTUAL = re.compile(r"CREATE\s+VIRTUAL\s+TABLE\s.*?\sUSING\s+(.+)", re.IGNORECASE | re.DOTALL)
_NAMED = frozenset({"REFERENCES", "CHECK", "UNIQUE", "PRIMARY", "NULL", "DEFAULT"})
_TABLE_LEVEL = ("CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN")


@dataclass(slots=True)
class Declared:
    """The facts in the text of a table that PRAGMA does not show.

    Args:
        foreign_keys: Name and deferrability of each foreign key, in the order of their declarations.
        others: Name, kind and definition of each other constraint except the primary key.
        collations: Collations by column.
        generated: Expressions by column.
        options: The text after the columns.
    """

    foreign_keys: list[tuple[str | None, str | None]] = field(default_factory=list)
    others: list[tuple[str | None, str, str]] = field(default_factory=list)
    collations: dict[str, str] = field(default_factory=dict)
    generated: dict[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()


def module(text: str) -> str | None:
    """Return the module of a virtual table with its arguments; None for any other table."""
    found = _VIRTUAL.fullmatch(text.strip())
    return found and found.group(1)


def table(text: str) -> Declared:
    """Return the declarations of a CREATE TABLE."""
    text = without_comments(text)
    opened, closed = bracket(text)
    declared = Declared(options=tuple(part.upper() for part in split(text[closed + 1 :]) if part))
    for part in split(text[opened + 1 : closed]):
        words = list(_words(part)) or [""]
        if words[0].upper() in _TABLE_LEVEL:
            _constraints(declared, words, None)
        else:
            _constraints(declared, words[1:], unquoted(words[0]))
    return declared


def index(text: str) -> tuple[tuple[str, ...], str | None]:
    """Return the columns of a CREATE INDEX, as written, and its predicate."""
    text = without_comments(text)
    head = _INDEX.match(text)
    opened, closed = bracket(text, head.end() if head else 0)
    columns = tuple(_column(part) for part in split(text[opened + 1 : closed]))
    predicate = re.sub(r"^\s*WHERE\s+", "", text[closed + 1 :], flags=re.IGNORECASE).strip()
    return columns, unwrapped(predicate) if predicate else None


def trigger(text: str) -> tuple[str, str]:
    """Return the event and the action of a trigger, without the names of trigger and table."""
    text = " ".join(_TRIGGER.sub("", without_comments(text)).split())
    words = _WORD.match(text)
    body = text[words.end() :].strip() if words else text
    moment, _, action = re.split(r"\s+(ON)\s+", body, maxsplit=1, flags=re.IGNORECASE)
    name = _WORD.match(action)
    return moment.upper(), action[name.end() :].strip() if name else action


def without_comments(text: str) -> str:
    """Return SQL text without comments."""
    return _COMMENT.sub(lambda found: found.group(1) or " ", text)


def _column(text: str) -> str:
    word = _WORD.match(text)
    name = unquoted(word.group()) if word else text
    if word and re.fullmatch(r"[A-Za-z_]\w*", name) and text[word.end() :].lstrip()[:1] != "(":
        rest = " ".join(text[word.end() :].split()).upper()
        return f"{name} {rest.removesuffix('ASC').strip()}".strip()
    return text


def _words(text: str) -> Iterator[str]:
    """Yield words, quoted names and whole brackets."""
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
        elif text[at] == "(":
            _, closed = bracket(text, at)
            yield text[at : closed + 1]
            at = closed + 1
        else:
            word = _WORD.match(text, at)
            end = word.end() if word else at + 1
            yield text[at:end]
            at = end


def _constraints(declared: Declared, words: list[str], column: str | None) -> None:
    name: str | None = None
    for at, word in enumerate(words):
        following = words[at + 1] if at + 1 < len(words) else ""
        keyword = word.upper()
        if keyword == "CONSTRAINT":
            name = unquoted(following)
        elif keyword == "DEFERRABLE" and words[at - 1].upper() != "NOT":
            declared.foreign_keys[-1] = (declared.foreign_keys[-1][0], _deferrable(words[at:]))
        elif column is not None and keyword == "COLLATE":
            declared.collations[column] = unquoted(following)
        elif column is not None and keyword == "AS":
            declared.generated[column] = unwrapped(following)
        elif keyword in _NAMED:
            _named(declared, keyword, following, name, column)
            name = None


def _named(declared: Declared, keyword: str, following: str, name: str | None, column: str | None) -> None:
    if keyword == "REFERENCES":
        declared.foreign_keys.append((name, None))
    elif keyword == "CHECK":
        declared.others.append((name, "check", f"CHECK ({' '.join(unwrapped(following).split())})"))
    elif keyword == "UNIQUE":
        columns = split(unwrapped(following)) if column is None else (quoted(column),)
        declared.others.append((name, "unique constraint", f"UNIQUE ({', '.join(columns)})"))


def _deferrable(words: list[str]) -> str:
    deferred = [word.upper() for word in words[1:3]] == ["INITIALLY", "DEFERRED"]
    return "DEFERRABLE INITIALLY DEFERRED" if deferred else "DEFERRABLE"
