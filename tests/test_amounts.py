"""A count is written in one place, which knows the singular: `names.amount`."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from diwa_schema.names import amount

SOURCE = Path(__file__).parents[1] / "src" / "diwa_schema"
# What the counted thing is, in the plural: "rows of", "more tables", "revision(s)".
PLURAL = re.compile(r"^ (?:\w+ )?(?:[a-z]{3,}[^s\W]s|[a-z]+\(s\))\b")
SINGULAR = re.compile(r"\bs?(?:if|else)\b")
COUNTS = {
    "count",
    "counted",
    "rows",
    "number",
    "total",
    "missed",
    "pending",
    "written",
    "archived",
    "sample",
    "most",
}
# "3 breaks" is a verb, and days are a constant.
# A text that is a value of a table: SQL writes the same one.
STORED = "migrations/steps/retype/conversion.py"
VERBS = {" breaks", " is", " has", " was", " waits"}


def test_one_and_many() -> None:
    assert [amount(number, "row") for number in (0, 1, 2, 1200)] == [
        "0 rows",
        "1 row",
        "2 rows",
        "1,200 rows",
    ]
    assert [amount(number, "row", "breaks") for number in (1, 2)] == ["1 row breaks", "2 rows break"]


def _is_count(value: ast.expr, spec: ast.expr | None) -> bool:
    if isinstance(spec, ast.JoinedStr) and any(getattr(one, "value", "") == "," for one in spec.values):
        return True
    if isinstance(value, ast.Call):
        return isinstance(value.func, ast.Name) and value.func.id == "len"
    if isinstance(value, ast.BinOp):
        return _is_count(value.left, None)
    return getattr(value, "attr", getattr(value, "id", "")) in COUNTS


def _found(text: ast.JoinedStr) -> bool:
    for part, after in zip(text.values, [*text.values[1:], None], strict=True):
        if not isinstance(part, ast.FormattedValue):
            continue
        if isinstance(part.value, ast.IfExp) and {"s", ""} == {
            getattr(one, "value", None) for one in (part.value.body, part.value.orelse)
        }:
            return True
        if isinstance(after, ast.Constant) and _is_count(part.value, part.format_spec):
            counted = PLURAL.match(str(after.value))
            if counted and counted[0] not in VERBS:
                return True
    return False


def test_no_other_place_writes_a_plural_behind_a_count() -> None:
    found = [
        f"{path.relative_to(SOURCE)}:{node.lineno}"
        for path in SOURCE.rglob("*.py")
        if "versions" not in path.parts and path.name != "names.py" and not path.match(STORED)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.JoinedStr) and _found(node)
    ]
    assert found == []
