"""Names and texts get into SQL by one module, and no other quotes, doubles or cuts them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import diwa_schema

SOURCE = Path(diwa_schema.__file__).parent
NAMES = SOURCE / "names.py"
SQL = re.compile(
    r"\b(SELECT|ALTER|CREATE|DROP|INSERT|UPDATE|DELETE|GRANT|REVOKE|COMMENT ON|LOCK TABLE|TRUNCATE|EXECUTE|FROM"
    r"|PRAGMA|SET|WHERE)\b"
)
# Doubling a quote is quoting, whoever calls it.
DOUBLED = {('"', '""'), ("'", "''")}
# What a schema is called by, wherever it comes from: alone in a statement it is a name without quotes.
SCHEMA = re.compile(r"(^|\.|_)schema$")


def statements(path: Path) -> Iterator[tuple[int, str]]:
    """Give what quotes outside the module that does: its line, and what it is."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and _doubles(node):
            yield node.lineno, f"doubles a quote: {ast.unparse(node)}"
        elif isinstance(node, ast.JoinedStr) and SQL.search(_fixed(node)):
            yield from ((node.lineno, what) for what in _quoted_by_hand(node))


def _doubles(node: ast.Call) -> bool:
    if not (isinstance(node.func, ast.Attribute) and node.func.attr == "replace" and len(node.args) == 2):
        return False
    return tuple(getattr(arg, "value", None) for arg in node.args) in DOUBLED


def _fixed(node: ast.JoinedStr) -> str:
    return "{}".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))


def _quoted_by_hand(node: ast.JoinedStr) -> Iterator[str]:
    parts = node.values
    for at, part in enumerate(parts):
        if not isinstance(part, ast.FormattedValue):
            continue
        shown = ast.unparse(part.value)
        before = _text(parts, at - 1)[-1:]
        after = _text(parts, at + 1)[:1]
        if before and before == after and before in "\"'" and not shown.isupper():
            yield f"quotes by hand: {before}{{{shown}}}{after}"
        if SCHEMA.search(shown):
            yield f"a schema without quotes: {{{shown}}}"


def _text(parts: list[ast.expr], at: int) -> str:
    part = parts[at] if 0 <= at < len(parts) else None
    return str(part.value) if isinstance(part, ast.Constant) else ""


def test_the_one_module_is_what_the_others_are_compared_with():
    assert [what for _, what in statements(NAMES) if what.startswith("doubles")]


@pytest.mark.parametrize(
    "text",
    [
        "f'SELECT 1 FROM \"{name}\"'",
        "f\"WHERE x = '{value}'\"",
        "f'SET search_path = {schema}'",
        "f'DROP TABLE {link.schema}.t'",
        "name.replace('\"', '\"\"')",
    ],
)
def test_quoting_by_hand_is_found(tmp_path, text):
    path = tmp_path / "module.py"
    path.write_text(text)
    assert len(list(statements(path))) == 1


def test_nobody_else_quotes():
    found = [
        f"{path.relative_to(SOURCE)}:{line}: {what}"
        for path in sorted(SOURCE.rglob("*.py"))
        if path != NAMES
        for line, what in statements(path)
    ]
    assert found == []
