"""Additions to files that people wrote: each keeps every line that was there, or gives up and says so."""

from __future__ import annotations

import re
import tomllib
from typing import Any

# The end of the block of a top-level key: the next one, or the end of the document.
NEXT_KEY = re.compile(r"(?m)^(?=[^\s#-]|---|\.\.\.)")


class ByHand(Exception):  # noqa: N818 - not an error: the addition is left to a person
    """An addition cannot be made without touching what is there."""


def add_to_table(text: str, table: str, key: str, value: str) -> str:
    """Return a TOML document with one more text in a table; unchanged when the key has that value.

    Raises:
        ByHand: The key has another value, or the document is written in a way that cannot be added to.
    """
    before = _parsed(text)
    present = _lookup(before, table).get(key)
    if present == value:
        return text
    if present is not None:
        raise ByHand(f"{key} in [{table}] is {present!r} and was left as it is; wanted: {value!r}")
    line = f'{key} = "{value}"\n'
    header = re.search(rf"(?m)^[ \t]*\[{re.escape(table)}\][ \t]*(?:#.*)?(?:\n|\Z)", text)
    if header:
        start = text[: header.end()]
        after = f"{start}{'' if start.endswith(chr(10)) else chr(10)}{line}{text[header.end() :]}"
    else:
        after = f"{_ended(text)}[{table}]\n{line}"
    _lookup(before, table)[key] = value
    if _parsed(after) != before:
        raise ByHand(f'add {key} = "{value}" to [{table}]')
    return after


def add_to_list(text: str, key: str, item: str) -> str:
    """Return a YAML document with one more item at the end of the list under a top-level key.

    Args:
        text: The document; the list is added when it has no such key.
        key: The top-level key.
        item: The item in lines, the first of which starts with a dash, without indentation.

    Raises:
        ByHand: The list is written in a way that cannot be added to.
    """
    start = re.search(rf"(?m)^{key}:[ \t]*(?:#.*)?$", text)
    if not start:
        if re.search(rf"(?m)^[\"']?{key}[\"']?[ \t]*:", text):
            raise ByHand(f"add to {key}:\n{item}")
        return f"{_ended(text)}{key}:\n{_indented(item, '  ')}"
    end = NEXT_KEY.search(text, start.end())
    block = text[start.end() : end.start() if end else len(text)]
    first = re.search(r"(?m)^([ \t]*)- ", block)
    if not first:
        raise ByHand(f"add to {key}:\n{item}")
    kept = text[: start.end()] + block.rstrip()
    rest = text[start.end() + len(block.rstrip()) :].lstrip("\n")
    return f"{kept}\n{_indented(item, first[1])}" + (f"\n{rest}" if rest else "")


def add_aliases(text: str, aliases: dict[str, str], function: str) -> str:
    """Return a mix.exs with more aliases and the function that they call.

    Args:
        text: The mix.exs.
        aliases: The aliases, by the name of the task.
        function: The function, in lines with the indentation of a module's body.

    Raises:
        ByHand: A task has an alias already, or the aliases are written in another way.
    """
    lines = "\n".join(f'      "{task}": {call}' for task, call in aliases.items())
    wanted = ",\n".join(lines.split("\n"))
    if all(f'"{task}": {call}' in text for task, call in aliases.items()):
        return text
    taken = [task for task in aliases if re.search(rf"\"{re.escape(task)}\"(?::| *=>)", text)]
    if taken:
        raise ByHand(f"{', '.join(taken)} already stand in the aliases; wanted:\n{wanted}\n\n{function}")
    opened = re.search(r"(?m)^  defp? aliases(?:\(\))? do\n\s*\[", text)
    if opened:
        closing = "" if re.match(r"\s*\]", text[opened.end() :]) else ","
        rest = text[opened.end() :] if closing else "\n    " + text[opened.end() :].lstrip()
        return _with_function(f"{text[: opened.end()]}\n{wanted}{closing}{rest}", function)
    app = re.search(r"(?m)^( *)app: :\w+,\n", text)
    if app and not re.search(r"\baliases\b", text):
        added = f"{text[: app.end()]}{app[1]}aliases: aliases(),\n{text[app.end() :]}"
        listed = f"  defp aliases do\n    [\n{wanted}\n    ]\n  end\n"
        return _with_function(added, f"{listed}\n{function}")
    raise ByHand(f"add to the aliases:\n{wanted}\n\n{function}")


def _with_function(text: str, function: str) -> str:
    head, found, tail = text.rstrip().rpartition("\nend")
    if not found or tail:
        raise ByHand(f"add to the module:\n{function}")
    return f"{head}\n\n{function}end\n"


def _parsed(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ByHand(f"it is not TOML: {error}") from None


def _lookup(document: dict[str, Any], table: str) -> dict[str, Any]:
    for key in table.split("."):
        document = document.setdefault(key, {})
        if not isinstance(document, dict):
            raise ByHand(f"{key} is not a table")
    return document


def _ended(text: str) -> str:
    """Return a text to which a paragraph can be added."""
    return f"{text.rstrip()}\n\n" if text.strip() else ""


def _indented(item: str, indentation: str) -> str:
    return "".join(f"{indentation}{line}\n" if line else "\n" for line in item.splitlines())
