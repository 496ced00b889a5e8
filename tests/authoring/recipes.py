"""The recipes of the page about migrations, and what a person does who follows one."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

from diwa_schema.models import Task
from tests.repository.test_ci_files import ROOT

MODELS = "src/diwa_schema/models"
# The column that the recipes add: who follows one has it, and is to get another.
EXAMPLE = "mood" if "mood" not in Task.__table__.columns else "temper"
_BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
_NEXT_CLASS = "\n\nclass HitlEscalation(Base)"


def recipes() -> dict[str, str]:
    """Return the recipes, each with its text."""
    page = in_example((ROOT / "docs" / "writing-a-migration.md").read_text(encoding="utf-8"))
    found = page.partition("## Recipes")[2].partition("\n## ")[0].split("\n### ")[1:]
    return dict(one.split("\n", 1) for one in found)


def in_example(page: str) -> str:
    """Return a page with a name for its example that no model has."""
    return page.replace("mood", EXAMPLE).replace("Mood", EXAMPLE.capitalize())


def blocks(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield each block of code: what stands before it, its language and its content."""
    at = 0
    for one in _BLOCK.finditer(text):
        yield text[at : one.start()], one[1], one[2]
        at = one.end()


def edit_models(root: Path, where: str, line: str) -> None:
    """Put a line where the text before it says: by default behind the title of a task."""
    word = line.split(maxsplit=1)[0] if line else ""
    indented = textwrap.indent(line, "    ")
    if "`values.py`, in place of" in where:
        change(root, rf"^{word} = [^\n]*\n", line, "values.py")
    elif place := re.search(r"`rules.py`, in place of `(\w+)`", where):
        change(
            root, rf'    Rule\(\n        "{place[1]}".*?\n    \),\n', f"{indented.rstrip()},\n", "rules.py"
        )
    elif "that are `RETIRED`" in where:
        replace(root, "RETIRED: tuple[Rule, ...] = ()", f"RETIRED = (\n{indented.rstrip()},\n)", "rules.py")
    elif place := re.search(r"(In place of|Beside) `(\w+)`", where):
        before = _attribute(root, place[2])
        replace(root, before, indented if place[1] == "In place of" else before + indented)
    elif "`values.py`" in where:
        replace(root, "\nVALUE_SETS = (\n", f"{line}\nVALUE_SETS = (\n    {word},\n", "values.py")
        for file in ("team.py", "rules.py"):
            replace(root, "    TaskStatus,\n)", f"    TaskStatus,\n    {word},\n)", file)
    elif "`rules.py`" in where:
        replace(root, "KEPT = (\n", f"KEPT = (\n{indented.rstrip()},\n", "rules.py")
    elif word == "class":
        replace(root, _NEXT_CLASS, f"\n\n{line}\n{_NEXT_CLASS}")
    else:
        replace(root, title := _attribute(root, "title"), title + indented)


def _attribute(root: Path, name: str) -> str:
    """Return the code of a column of a task, or of a class behind it."""
    code = (root / MODELS / "team.py").read_text().partition("class Task(Base)")[2]
    found = re.search(rf"    {name}: .*\n(?:        .*\n|    \)\n)*", code)
    assert found
    return found[0]


def change(root: Path, pattern: str, new: str, file: str) -> None:
    """Put a text in place of the one that a pattern finds in the file of a model."""
    found = re.search(pattern, (root / MODELS / file).read_text(), re.MULTILINE | re.DOTALL)
    assert found
    replace(root, found[0], new, file)


def replace(root: Path, old: str, new: str, file: str = "team.py") -> None:
    """Change the file of a model."""
    path = root / MODELS / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def write_body(path: Path, body: str, after: str | None) -> None:
    """Put the imports, the settings and the functions of a recipe into the file of an empty revision.

    Args:
        path: The file.
        body: What the recipe shows.
        after: The revision before it of the same recipe, which a floor names.
    """
    head, functions = body.split("\n\n\n", 1)
    imports, settings = head.split("\n\n", 1)
    kept = path.read_text().partition("\n\n\ndef upgrade")[0]
    # The template's hints are to be taken out, and its imports are others.
    kept = re.sub(r"^(?:#|import |from ).*\n", "", kept, flags=re.MULTILINE)
    for name in ("drops", *re.findall(r"^\w+(?= = )", settings, re.MULTILINE)):
        kept = re.sub(rf"^{name} = .*\n?", "", kept, flags=re.MULTILINE)
    kept = re.sub(r"\n+revision = ", f"\n\n{imports}\n\nrevision = ", kept, count=1)
    text = f"{kept.rstrip()}\n{settings}\n\n\n{functions}"
    path.write_text(text.replace("…", after) if after else text)
