"""The page for coding agents: its commands run, their documents look as it says, and its errors exist."""

from __future__ import annotations

import json
import re
import shlex

from diwa_schema import errors
from tests.repository.test_ci_files import ROOT

from .recipes import in_example

PAGE = in_example((ROOT / "docs" / "coding-agents.md").read_text(encoding="utf-8"))
DIALOGUES = re.findall(
    r"^```console\n\$ diwa-schema (.*?)\n```\n\n```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL
)
# Two revisions of the first release are pending, as on the page, whatever comes after them.
UPGRADED = "20260307000000"
TITLE = "    title: Mapped[str] ="


def shape(document):
    """Return what a document is made of: its keys, and the kinds of what stands there."""
    if isinstance(document, dict):
        return {key: shape(value) for key, value in document.items()}
    if isinstance(document, list):
        return [shape(document[0])] if document else []
    return type(document).__name__


def test_each_command_gives_the_document_that_the_page_shows(own, cli, tmp_path):
    root, call = own
    url = f"sqlite:///{tmp_path / 'diwa.db'}"
    owner = ("--repo", "diwa-schema")
    cli("upgrade", UPGRADED, "--url", url, *owner, cwd=root, check=0)
    model = root / "src/diwa_schema/models/team.py"
    (line,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert model.read_text().count(TITLE) == 1
    model.write_text(model.read_text().replace(TITLE, f"    {line}{TITLE}"))
    named = {"URL": url}
    assert len(DIALOGUES) == PAGE.count("```console")
    for words, expected in DIALOGUES:
        command = [named.get(word, word) for word in shlex.split(words)]
        if command[0] == "prove":
            continue  # the test of a release proves, and looks at this document
        code = 1 if command[0] in ("status", "doctor") else 0
        authoring = command[0] in ("revision", "lint")
        ran = call(*command, check=code) if authoring else cli(*command, cwd=root, check=code)
        said = json.loads(ran.stdout)
        assert shape(said) == shape(json.loads(expected)), words
        if command[0] == "revision":
            named["FILE"] = said["revisions"][0]["file"]


def test_each_error_and_its_exit_code_are_on_the_page():
    table = dict(re.findall(r"^\| (\d) \| (.*?) \|", PAGE, re.MULTILINE))
    listed = {name: int(code) for code, names in table.items() for name in re.findall(r"\w+", names)}
    kinds = {
        name: kind
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.DiwaSchemaError)
    }
    assert listed == {
        name: kind.exit_code
        for name, kind in kinds.items()
        if name not in ("DiwaSchemaError", "CheckFailed", "LockNotObtained", "DatabaseRefused")
    }
