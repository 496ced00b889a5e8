"""The reference of the site has everything that there is, and the menu has every page; `nox -s docs` builds it."""

from __future__ import annotations

import re
from pathlib import Path

import diwa_schema
from diwa_schema.cli.parser import build_parser
from website import command_line, messages, python

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
