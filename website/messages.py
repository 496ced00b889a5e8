"""Every message of an error, from the places in the source that raise it."""

from __future__ import annotations

import ast
import inspect
import re
from collections import defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

import diwa_schema
from diwa_schema import errors

SOURCE = Path(diwa_schema.__file__).parent


class Message(NamedTuple):
    """What one place in the source says.

    Args:
        error: The class that is raised.
        what: What happened; what is known only then stands in braces.
        next_step: What to do next; empty where nothing is said.
    """

    error: str
    what: str
    next_step: str


def classes() -> dict[str, type[errors.DiwaSchemaError]]:
    """Return the exceptions, by name, in the order of their exit codes."""
    found = {
        name: value
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, errors.DiwaSchemaError)
    }
    return dict(sorted(found.items(), key=lambda one: one[1].exit_code))


def messages() -> list[Message]:
    """Return the messages of all files, those of one file in its order."""
    return [each for path in sorted(SOURCE.rglob("*.py")) for each in _of(ast.parse(path.read_text()))]


def page() -> str:
    """Return the page: each error with its exit code, its messages, and what to do."""
    said: dict[str, list[Message]] = defaultdict(list)
    for message in messages():
        said[message.error].append(message)
    parts = [
        "# Every message",
        (
            "This page has each error of the source with its fix. Braces hold the values of a run."
            " [Errors as they are printed](../messages.md) shows whole messages of real runs."
        ),
    ]
    for name, error in classes().items():
        parts += [
            f"## {name}",
            f"Exit code {error.exit_code}. {inspect.getdoc(error) or ''}".partition("\n")[0],
        ]
        for message in dict.fromkeys(said[name]):
            fix = f"\n\n    {_shown(message.next_step)}" if message.next_step else ""
            parts.append(f"* {_shown(message.what)}{fix}")
    return "\n\n".join(parts) + "\n"


def _of(tree: ast.AST) -> Iterator[Message]:
    known = classes()
    chosen = _chosen(tree, known)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        what = _text(node.args[0])
        steps = [_text(each.value) for each in node.keywords if each.arg == "next_step"]
        for error in chosen.get(name, [name]):
            if error in known and what:
                yield Message(error, what, "".join(steps))


def _chosen(tree: ast.AST, known: Collection[str]) -> dict[str, list[str]]:
    """Return the variables that hold one of two classes, with both."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.IfExp):
            names = [getattr(each, "id", "") for each in (node.value.body, node.value.orelse)]
            if set(names) <= set(known):
                found[ast.unparse(node.targets[0])] = names
    return found


def _text(node: ast.AST) -> str:
    """Return a text as it stands in the source; what is computed in it stands in braces."""
    match node:
        case ast.Constant():
            text = str(node.value)
        case ast.JoinedStr():
            text = "".join(_text(part) for part in node.values)
        case ast.FormattedValue():
            text = _text(node.value)
        case ast.BinOp(op=ast.Add()):
            text = _text(node.left) + _text(node.right)
        case ast.BoolOp():
            text = _text(node.values[-1])
        case ast.IfExp():
            text = f"{_text(node.body)} / {_text(node.orelse)}"
        case ast.Call(func=ast.Name(id="command"), args=[words]):
            text = f"diwa-schema {_text(words)}"
        case ast.Call(func=ast.Name(id="module_command"), args=[words]):
            text = f"python -m diwa_schema {_text(words)}"
        case _:
            text = f"{{{_name(node)}}}"
    return text


def _name(node: ast.AST) -> str:
    """Return a short word for something that is computed."""
    words = re.findall(r"[a-z]\w+", ast.unparse(node))
    return words[-1].replace("_", " ") if words else "…"


def _shown(text: str) -> str:
    return re.sub(r"([<>*_`|\[\]])", r"\\\1", " ".join(text.split()))
