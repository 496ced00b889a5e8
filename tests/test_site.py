"""The reference of the site has everything that there is, and the menu has every page; `nox -s docs` builds it."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import diwa_schema
from diwa_schema.cli.parser import build_parser
from diwa_schema.run.settings import Settings, bounds
from website import command_line, messages, python, settings

ROOT = Path(__file__).parents[1]
MENU = (ROOT / "mkdocs.yml").read_text()


def test_the_menu_has_every_page() -> None:
    pages = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    listed = set(re.findall(r"[\w/-]+\.md$", MENU, flags=re.MULTILINE))
    made = set(re.findall(r'"([\w/-]+\.md)": ', (ROOT / "website" / "hooks.py").read_text()))
    assert listed == pages | made


def test_the_command_line_is_whole() -> None:
    page = command_line.page()
    (commands,) = (dict(action.choices) for action in build_parser()._actions if action.choices)
    names = {parser.prog.partition(" ")[2] for parser in commands.values()}
    assert len(names) > 20
    assert names <= set(re.findall(r"^## (.+)$", page, flags=re.MULTILINE))
    codes = re.findall(r"^\| (\d+) \|", page, flags=re.MULTILINE)
    assert codes == [*map(str, range(8)), "129", "130", "141", "143"]


def test_every_error_has_its_messages() -> None:
    said = messages.messages()
    silent = {"DiwaSchemaError", "LockNotObtained", "DatabaseRefused"}
    assert set(messages.classes()) - {each.error for each in said} <= silent
    assert len(said) > 200
    late = next(each for each in said if each.error == "SchemaOutOfDate" and "out of date" in each.what)
    assert late.what.startswith("The schema of {shown} is out of date")
    assert late.next_step == "In the diwa-cloud repository, run: python -m diwa_schema upgrade"


def test_the_public_names_are_where_the_reference_looks() -> None:
    named = {name for name, _ in python.public()}
    assert named == {name for name in diwa_schema.__all__ if not name.startswith("_")}
    for name, place in python.public():
        module = (ROOT / "src" / Path(*place.split(".")[:-1])).with_suffix(".py")
        assert re.search(rf"^(?:async )?(?:def|class) {name}\b", module.read_text(), flags=re.MULTILINE), (
            place
        )


def test_every_setting_has_its_row_and_its_commands() -> None:
    page = settings.page()
    rows = re.findall(r"^\| `(\w+)` \| `--([\w-]+)` \| (.+?) \| (.+?) \|$", page, flags=re.MULTILINE)
    assert [name for name, *_ in rows] == [one.name for one in fields(Settings)]
    for name, option, default, meaning in rows:
        assert option == name.replace("_", "-")
        assert len(meaning) > 20
        bound = next((bound for bound in bounds() if bound.name == name), None)
        assert default == (
            f"{bound.default:g} {bound.unit}" if bound else "7 days" if name == "seen_within" else "no"
        )
    assert {"upgrade", "downgrade", "adopt", "fleet upgrade"} <= set(settings.with_option("max_stall"))
    assert settings.with_option("replay") == settings.with_option("seen_within") == ["plan", "upgrade"]
    assert "* `--replay`, `--seen-within`: `plan`, `upgrade`" in page


def test_every_variable_that_is_read_has_its_row() -> None:
    named = {one.name for variables in settings.VARIABLES.values() for one in variables}
    own = {one.name for one in settings.VARIABLES["The tests of this project"]}
    read = {name for path in (ROOT / "src").rglob("*.py") for name in variables_of(path)}
    assert read == named - own
    in_tests = {name for path in (ROOT / "tests").rglob("*.py") for name in variables_of(path)}
    assert {name for name in in_tests if name.startswith("DIWA_")} <= named
    assert own <= in_tests
    page = settings.page()
    for name in named:
        assert len(re.findall(rf"^\| `{re.escape(name)}` \|", page, flags=re.MULTILINE)) == 1, name


def variables_of(path: Path) -> Iterator[str]:
    """The variables of the environment that a file of the source asks for: texts, and names of texts, beside `os.environ`."""
    tree = ast.parse(path.read_text())
    if "environ" not in path.read_text():
        return
    in_package = path.is_relative_to(ROOT / "src")
    for node in ast.walk(tree):
        if not isinstance(node, ast.stmt) or not any(
            isinstance(each, ast.expr) for each in ast.iter_child_nodes(node)
        ):
            continue
        parts = [
            each
            for child in ast.iter_child_nodes(node)
            if isinstance(child, ast.expr)
            for each in ast.walk(child)
        ]
        if not any(isinstance(each, ast.Attribute) and each.attr == "environ" for each in parts):
            continue
        for part in parts:
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                text = part.value
            elif isinstance(part, ast.Name) and part.id.isupper() and in_package:
                module = ".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(
                    ".__init__"
                )
                text = getattr(importlib.import_module(module), part.id)
            else:
                continue
            if isinstance(text, str) and re.fullmatch(r"_?[A-Z][A-Z0-9_]*[A-Z0-9]", text):
                yield "GIT_CONFIG*" if text == "GIT_CONFIG" else text
