"""The history as a whole: what every revision declares, and that it is one line."""

from __future__ import annotations

import ast
import re
from datetime import datetime
from pathlib import Path
from types import ModuleType

import pytest

from diwa_schema.migrations import manifest
from tests.kit import facts
from tests.migrations.replaying import HISTORY, IDS, SCRIPTS

FILES = sorted(manifest.VERSIONS.glob("*.py"))


each_revision = pytest.mark.parametrize("module", HISTORY, ids=IDS)


def test_has_one_head_and_one_base():
    assert len(SCRIPTS.get_heads()) == 1
    assert len(SCRIPTS.get_bases()) == 1


def test_is_one_line_in_the_order_of_ids():
    assert [module.down_revision for module in HISTORY] == [None, *IDS[:-1]]
    assert list(IDS) == sorted(set(IDS))


def test_contains_every_file():
    assert [path.stem.partition("_")[0] for path in FILES] == list(IDS)


def test_begins_with_the_versions_of_ecto():
    assert [int(revision) for revision in IDS[:32]] == list(facts.HISTORY)


def test_calls_the_versions_of_ecto_what_the_facts_call_them(shared: Path):
    listed = re.findall(
        r"^\| (\d{14}) \| (\w+) \|", (shared / "upstream" / "revisions.md").read_text(), re.MULTILINE
    )
    first = dict(reversed(listed))  # a later table names some versions again
    named = [path.stem.partition("_") for path in FILES[:32]]
    assert len(first) == 32
    assert [(revision, slug) for revision, _, slug in named] == sorted(first.items())


@each_revision
def test_id_is_a_utc_timestamp(module: ModuleType):
    # Ecto's own 20251227043000 and the like are times; only the digits must make one.
    datetime.strptime(module.revision + "+0000", "%Y%m%d%H%M%S%z")


@each_revision
def test_declares_what_the_runner_reads(module: ModuleType):
    assert module.phase in ("expand", "contract")
    assert (module.floor is None) == (module.phase == "expand")
    assert getattr(module, "transactional", True) in (True, False)
    assert isinstance(getattr(module, "irreversible", "reason"), str)
    assert all(re.fullmatch(r"\w+(\.\w+)?", name) for name in getattr(module, "drops", ()))
    assert callable(module.upgrade)
    assert callable(module.downgrade)


@each_revision
def test_says_what_it_is_for(module: ModuleType):
    first = (module.__doc__ or "").splitlines()[0]
    assert re.fullmatch(r"[A-Z].{10,}\.", first) or first.endswith("them.")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem[:14])
def test_asks_for_no_dialect_itself(path: Path):
    names = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
    assert not names & {"dialect", "get_bind", "get_context"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem[:14])
def test_drops_what_it_declares(path: Path):
    """What downgrade() takes away by name stands in `drops`, so that the rows in it are counted first."""
    tree = ast.parse(path.read_text())
    declared = next(
        (
            set(ast.literal_eval(node.value))
            for node in tree.body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "drops"
        ),
        set(),
    )
    calls = [node for node in ast.walk(_downgrade(tree)) if isinstance(node, ast.Call)]
    dropped = {
        ".".join(ast.literal_eval(argument) for argument in call.args)
        for call in calls
        if ast.unparse(call.func) in ("op.drop_table", "op.drop_column")
    }
    made_from_others = {"memories.tsv_content"}
    assert dropped - made_from_others <= declared


def _downgrade(tree: ast.Module) -> ast.AST:
    return next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "downgrade")
