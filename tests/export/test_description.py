"""Every column is described, and what is derived agrees with the facts about the databases in the field."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
from sqlalchemy import Column, MetaData, Table

from diwa_schema import export, models
from diwa_schema.authoring.draft import PAGES
from diwa_schema.drift.read import at_head
from diwa_schema.export.description import TIERS, describe
from diwa_schema.export.history import history, since
from diwa_schema.migrations.ecto import LAST
from diwa_schema.migrations.manifest import load
from diwa_schema.models import Base
from diwa_schema.models.dossier import undescribed
from diwa_schema.models.types import ShortText
from tests.kit.facts import HISTORY
from tests.kit.writer import parse

DOCS = Path(__file__).parents[2] / "docs" / "dictionary"
COLUMNS = [(table, column) for table in describe() for column in table.columns]
# What the facts leave out: Ecto's migrations know nothing of these.
OURS = {"idempotency_log"}


def test_every_column_is_described():
    models.load()
    assert sum(len(table.columns) for table in Base.metadata.tables.values()) == len(COLUMNS)
    assert undescribed(Base.metadata) == []


@pytest.mark.parametrize("doc", [None, "", "no sentence", "Short."])
def test_a_column_without_a_description_is_found(doc):
    metadata = MetaData()
    Table("things", metadata, Column("name", ShortText(), doc=doc))
    assert undescribed(metadata) == ["things.name"]


def test_every_table_has_a_meaning_of_one_or_two_sentences():
    for table in describe():
        assert re.fullmatch(r"[A-Z][^\n]+\.", table.meaning), table.name
        assert table.meaning.count(". ") <= 1, table.meaning


def test_every_column_of_the_catalog_is_described():
    """What PostgreSQL has at head and the models do not would be missing in every export."""
    stored = {
        table.name: sorted(table.columns, key=lambda column: column.position)
        for table in at_head("postgresql").tables
    }
    for table in describe():
        assert [column.name for column in table.columns] == [column.name for column in stored[table.name]]


def test_columns_know_their_words():
    found = {f"{table.name}.{column.name}": column for table, column in COLUMNS}
    assert found["tasks.priority"].values == ("High", "Medium", "Low")
    assert found["tasks.priority"].closed
    assert "filesystem" in found["ingest_jobs.source_type"].values
    assert not found["ingest_jobs.source_type"].closed
    # Every value set of the models is found through an annotation.
    closed = {column.values for _, column in COLUMNS if column.closed}
    assert closed == {get_args(each) for each in models.values.VALUE_SETS}


# What these defaults say is a setting, or was true of the rows that were there.
TRUE_OF_OLD_ROWS = {
    *("contexts.conflict_domain", "contexts.conflict_safety_level"),
    *("contexts.conflict_base_threshold", "contexts.conflict_auto_calibrate"),
    "memories.arrived_at",
}


OF_FIRST_RELEASE = "20260309000000"


def test_a_default_that_invents_a_fact_about_old_rows_is_marked():
    made = {
        change.table: step.revision.revision
        for step in reversed(history())
        for change in step.changes
        if change.text == "creates the table"
    }
    later = {
        f"{table.name}.{column.name}": column
        for table, column in COLUMNS
        if (column.default or column.invented) and since()[f"{table.name}.{column.name}"] > made[table.name]
        # Of a later column, whoever writes the model decides.
        if column.invented or since()[f"{table.name}.{column.name}"] <= OF_FIRST_RELEASE
    }
    invented = {name for name, column in later.items() if column.invented}
    assert later.keys() - invented == TRUE_OF_OLD_ROWS
    assert (
        invented
        == {f"{table.name}.{column.name}" for table, column in COLUMNS if column.invented}
        >= {"memories.sync_origin", "contexts.sync_origin", "tala_operations.phi_flag"}
    )
    pages = "".join(page.read_text() for page in DOCS.glob("*.md"))
    assert pages.count("hold a default that no writer gave") == len(invented)


def test_a_default_is_one_of_the_words():
    for table, column in COLUMNS:
        if column.values and column.value is not None:
            assert column.value in column.values, f"{table.name}.{column.name}"


def test_what_names_people_or_holds_secrets_is_marked():
    marked = {f"{table.name}.{column.name}" for table, column in COLUMNS if column.privacy}
    assert {"memories.content", "memories.embedding", "tala_operations.params", "sessions.actor"} <= marked
    assert {"secrets.value_encrypted", "api_keys.key_hash"} <= marked
    # A column of that name or kind is never harmless.
    for table, column in COLUMNS:
        name = f"{table.name}.{column.name}"
        if column.name in {
            "actor",
            "content",
            "metadata",
            "notes",
            "summary",
            "message",
            "params",
            "payload",
        }:
            assert name in marked, name


def test_since_is_what_ecto_added_under_the_same_number():
    expected = {
        f"{change.table}.{column.name}": str(version)
        for version, text in HISTORY.items()
        for change in parse(text)
        for column in change.columns
    }
    found = {name: revision for name, revision in since().items() if name.partition(".")[0] not in OURS}
    ours = {f"{table.name}.{column.name}" for table, column in COLUMNS if table.name not in OURS}
    later = {name: found[name] for name in ours if found[name] > LAST}
    assert later.items() >= {
        ("memories.arrived_at", "20260303000100"),
        ("usage_records.organization_id", "20260306000100"),
        ("memories.organization_id", "20260307000000"),
    }
    # A later revision may drop one of them, or give it another name.
    assert {name: found[name] for name in ours - later.keys()} == {
        name: revision for name, revision in expected.items() if name in ours
    }


def test_since_is_known_of_every_column():
    assert {f"{table.name}.{column.name}" for table, column in COLUMNS} <= set(since())
    assert set(since().values()) <= set(load().ids)


def test_the_history_tells_what_happened():
    changes = {step.revision.revision: {(c.table, c.text) for c in step.changes} for step in history()}
    assert list(changes) == list(load().ids)
    assert ("organizations", "adds `slug`") in changes["20260228000500"]
    assert ("memories", "adds `tsv_content` (PostgreSQL only)") in changes["20251224053423"]
    assert ("memories", "adds the trigger `tsvectorupdate` (PostgreSQL only)") in changes["20251224053423"]
    assert ("context_registry", "adds the index `context_registry_context_id_index`") in changes[
        "20260302000400"
    ]
    # An index whose name PostgreSQL cuts is the same one.
    assert not [text for _, text in changes["20260105185807"] if "PostgreSQL only" in text]


def test_the_pages_in_the_repository_are_fresh():
    """To write them: `diwa-schema export FORMAT --output docs/dictionary`, for each of them."""
    expected = {name: text for form in PAGES for name, text in export.export(form).items()}
    found = {path.name: path.read_text(encoding="utf-8") for path in DOCS.iterdir()}
    assert sorted(found) == sorted(expected)
    assert [name for name in expected if found[name] != expected[name]] == []


def test_the_links_of_the_pages_lead_somewhere():
    pages = {path.name: path.read_text(encoding="utf-8") for path in DOCS.iterdir()}
    links = [
        (name, *link.partition("#")[::2])
        for name, text in pages.items()
        for link in re.findall(r"\]\(([^)]+)\)", text)
    ]
    assert len(links) > 31
    for name, page, anchor in links:
        target = pages[page or name]
        assert not anchor or f"\n## {anchor}\n" in target, f"{name}: {page}#{anchor}"


def test_every_table_is_on_the_page_of_its_tier():
    pages = export.export("dictionary")
    for table in describe():
        homes = [tier for tier in TIERS if f"\n## {table.name}\n" in pages[f"{tier}.md"]]
        assert homes == [table.tier]
        for column in table.columns:
            assert f"| `{column.name}`" in pages[f"{table.tier}.md"]
