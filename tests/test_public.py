"""The public names: who adds, renames or removes one here does it to every application."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PUBLIC = {
    "diwa_schema": """
        BrokenRow BrokenRule DiwaSchemaError Finding Report Settings Status Validation __version__ adopt
        aensure_current application_name check disable_index disable_vector doctor downgrade drop embedded_url
        enable_index enable_vector ensure_current examine history migrate plan protect roles stamp status unprotect
        validate violations
    """,
    "diwa_schema.errors": """
        ApplicationStalled Blocked CheckFailed ConnectionInUse DatabaseProtected DatabaseReadOnly DatabaseRefused
        DatabaseUnreachable DiwaSchemaError DriftFound InvalidDatabase LockNotObtained MigrationFailed
        MigrationLockBusy MigrationLockLost NoDatabase NotAdopted NotPersisted PermissionMissing ReleaseConnected
        SchemaEmpty SchemaForeign SchemaOutOfDate SchemaTampered SchemaTooNew TableLockBusy TransactionPooler
        UnknownRevision UsageError
    """,
    "diwa_schema.models": """
        Agent ApiKey Base Checkpoint ConflictPerformance ConflictResolutionOutcome Context ContextBinding
        ContextCommit ContextRegistry ContextRelationship Delegation EmbeddingCache EmbeddingValue HitlEscalation
        IdempotencyLog IngestJob Memory MemoryChecksum MemoryVersion Message Organization OrphanReviewLog Panel Plan
        RawEmbedding Secret Session ShortcutAlias SyncQueue TalaOperation Task UsageRecord Workspace
        arenewed enforce_foreign_keys heal renewed values
    """,
    "diwa_schema.queries": """
        bound_context context_named count_memories expired_memories memories_alike memories_containing
        memories_of_type memories_saying memories_tagged nearest_memories newest_memories pending_tasks ready_to_sync
        rules_of versions_of
    """,
    "diwa_schema.testing": "diwa_async_session diwa_database diwa_engine diwa_session diwa_survives",
    "diwa_schema.autogenerate": "include_name include_object",
}


def names(module: str) -> list[str]:
    """Return what a module offers: what it lists, its fixtures, or its classes and functions."""
    found = import_module(module)
    if hasattr(found, "__all__"):
        return sorted(found.__all__)
    own = {name for name, value in vars(found).items() if getattr(value, "__module__", None) == module}
    return sorted(name for name in own if not name.startswith(("_", "pytest_")))


@pytest.mark.parametrize("module", PUBLIC)
def test_the_public_names_are_these(module: str) -> None:
    expected = sorted(PUBLIC[module].split())
    offered = names(module)
    if module == "diwa_schema.errors":  # what is no exception there is the package's own
        offered = [name for name in offered if name[0].isupper()]
    assert offered == expected


@pytest.mark.parametrize("module", PUBLIC)
def test_each_public_function_and_class_says_what_it_does(module: str) -> None:
    found = import_module(module)
    silent = [
        name
        for name in names(module)
        if (inspect.isclass(value := getattr(found, name)) or inspect.isfunction(value))
        and not inspect.getdoc(value)
    ]
    assert silent == []


def test_contributing_names_commands_that_exist() -> None:
    sessions = set(
        re.findall(r"^def (\w+)\(session: nox.Session", (ROOT / "noxfile.py").read_text(), re.MULTILINE)
    )
    named = re.findall(r"nox -s ([a-z ]+)`", (ROOT / "CONTRIBUTING.md").read_text())
    assert named
    assert {each for words in named for each in words.split()} <= sessions
