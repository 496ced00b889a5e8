"""Rows that the models write are read through the exported Pydantic models, which refuse what cannot be written."""

from __future__ import annotations

import importlib.util
import py_compile
import shutil
import sys
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session, undefer

from diwa_schema.export import export
from diwa_schema.export.description import describe
from diwa_schema.models import Base, Memory, RawEmbedding, Task
from tests.export.test_rows import MEMORY, document_of, full, least, refusals
from tests.fixtures_checkout import run
from tests.models.rows import NUMBERS, attributes, mappers, new_row, store

pydantic = pytest.importorskip("pydantic", reason="the dependency group `test` has it through FastAPI")

TABLES = {table.name: table for table in describe()}


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Any:
    """The exported module, loaded from its file as an application does."""
    path = tmp_path_factory.mktemp("pydantic") / "exported_schema.py"
    path.write_text(export("pydantic")["schema.py"], encoding="utf-8")
    py_compile.compile(str(path), doraise=True)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def comparable(value: Any) -> Any:
    if isinstance(value, RawEmbedding):
        return value.data
    return str(value) if isinstance(value, UUID) else value


def differing(model: Any, row: Any) -> list[str]:
    """The columns that a model of Pydantic and a row of the models hold with other values."""
    return [
        column.name
        for key, column in attributes(row)
        if column.name != "tsv_content"
        and comparable(getattr(model, column.name)) != comparable(getattr(row, key))
    ]


@pytest.mark.usefixtures("owner_directory")
def test_rows_of_all_tables_are_read_and_written(database, exported):
    engine = create_engine(database.replace("postgresql://", "postgresql+psycopg://"))
    Base.metadata.create_all(engine)
    seen = set()
    with Session(engine, expire_on_commit=True) as session:
        for model in [mapper.class_ for mapper in mappers()]:
            bare, filled = new_row(model), full(model)
            store(session, *bare, *filled)
            reader, writer = getattr(exported, model.__name__), getattr(exported, f"New{model.__name__}")
            for row in (bare[-1], filled[-1]):
                read = reader.model_validate(row)
                assert differing(read, row) == [], model.__name__
                again = reader.model_validate_json(read.model_dump_json())
                assert differing(again, row) == [], model.__name__
                # A framework hands over a document that it has parsed.
                document = read.model_dump(mode="json")
                assert differing(reader.model_validate(document), row) == [], model.__name__
                assert refusals(model.__name__, document) == [], model.__name__
                seen.add(model.__tablename__)
            # The same row, sent by a client, becomes the same row.
            read = reader.model_validate(filled[-1])
            new = writer.model_validate_json(read.model_dump_json(exclude={"tsv_content"}))
            session.delete(filled[-1])
            session.commit()
            made = model(**new.values())
            store(session, made)
            assert differing(read, made) == [], model.__name__
            # What is needed is enough.
            words = TABLES[model.__tablename__].columns
            needed = {column.name for column in words if column.required}
            document = {name: value for name, value in document_of(made).items() if name in needed}
            least = writer.model_validate(document)
            assert least.values().keys() == {column.attribute for column in words if column.required}
            assert writer.model_fields.keys() == least.model_dump().keys()
    engine.dispose()
    assert seen == set(TABLES)


def test_every_column_has_its_meaning_and_its_place(exported):
    for table in describe():
        columns = {column.name: column for column in table.columns}
        read, new = (getattr(exported, f"{prefix}{table.model}") for prefix in ("", "New"))
        assert list(read.model_fields) == list(columns)
        assert list(new.model_fields) == [name for name in columns if name != "tsv_content"]
        for name, field in [*read.model_fields.items(), *new.model_fields.items()]:
            assert field.description.startswith(columns[name].meaning)
        needed = [name for name, field in new.model_fields.items() if field.is_required()]
        assert needed == [column.name for column in table.columns if column.required]
        values = {name: field.default for name, field in new.model_fields.items() if name not in needed}
        assert values == {name: columns[name].value for name in values}


# The rows that the JSON Schema refuses, and what only Pydantic can tell.
@pytest.mark.parametrize(
    "row",
    [
        {"content": "x"},
        {**MEMORY, "content": None},
        {**MEMORY, "content": 5},
        {**MEMORY, "id": None},
        {**MEMORY, "inserted_at": None},
        {**MEMORY, "inserted_at": "2026-01-01T00:00:00"},
        {**MEMORY, "context_id": "no uuid"},
        {**MEMORY, "priority": "High"},
        {**MEMORY, "actor": "a" * 256},
        {**MEMORY, "tags": ["a" * 256]},
        {**MEMORY, "tags": "a"},
        {**MEMORY, "metadata_": {}},
        {**MEMORY, "metadata": {"a": object()}},
        {**MEMORY, "tsv_content": "x"},
        {**MEMORY, "occurrence_count": 2**31},
        {**MEMORY, "embedding": [float("nan")]},
        {**MEMORY, "embedding": "AP8="},
    ],
    ids=lambda row: ",".join(set(row) - set(MEMORY)) or "content",
)
def test_what_cannot_be_written_is_refused(exported, row):
    assert exported.NewMemory.model_validate(MEMORY).values().keys() == set(MEMORY)
    with pytest.raises(pydantic.ValidationError):
        exported.NewMemory.model_validate(row)


@pytest.mark.parametrize(
    ("model", "column", "value"),
    [
        ("NewUsageRecord", "cost_estimate", "10000"),
        ("NewUsageRecord", "cost_estimate", "0.1234567"),
        ("NewSecret", "value_encrypted", "no base64!"),
    ],
)
def test_an_amount_and_bytes_keep_to_their_form(exported, model, column, value):
    with pytest.raises(pydantic.ValidationError) as refused:
        getattr(exported, model).model_validate({column: value})
    assert column in {error["loc"][0] for error in refused.value.errors() if error["type"] != "missing"}


def test_a_row_that_is_read_may_hold_any_word(exported):
    moment = "2026-01-01T00:00:00Z"
    row: dict[str, Any] = least(Task) | {
        "id": MEMORY["context_id"],
        "context_id": MEMORY["context_id"],
        "title": "t",
        "priority": "urgent",
        "inserted_at": moment,
        "updated_at": moment,
    }
    task = exported.Task.model_validate(row)
    assert (task.priority, task.inserted_at) == ("urgent", datetime.fromisoformat(moment))
    for wrong in ({**row, "priority": 5}, {name: value for name, value in row.items() if name != "title"}):
        with pytest.raises(pydantic.ValidationError):
            exported.Task.model_validate(wrong)


def test_a_secret_is_not_shown(exported):
    secret = exported.NewSecret.model_construct(key="known", value_encrypted=b"hidden")
    assert "known" in repr(secret)
    assert "hidden" not in repr(secret)


@pytest.mark.usefixtures("owner_directory")
def test_search_words_are_read_only_when_they_were_asked_for(exported, postgres):
    engine = create_engine(postgres.replace("postgresql://", "postgresql+psycopg://"))
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        rows = new_row(Memory)
        rows[-1].content = "Memories"
        store(session, *rows)
        plain = session.scalars(select(Memory)).one()
        assert exported.Memory.model_validate(plain).tsv_content is None
        session.expunge_all()
        asked = session.scalars(select(Memory).options(undefer(Memory.tsv_content))).one()
        assert exported.Memory.model_validate(asked).tsv_content == "'memori':1"
    engine.dispose()


@pytest.mark.usefixtures("owner_directory")
def test_bytes_in_an_embedding_are_read_as_bytes(exported):
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        rows = new_row(Memory)
        rows[-1].embedding = RawEmbedding(b"\x00odd")
        store(session, *rows)
        read = exported.Memory.model_validate(rows[-1])
        assert read.embedding == b"\x00odd"
        assert read.model_dump(mode="json")["embedding"] == "AG9kZA=="
        rows[-1].embedding = NUMBERS
        session.commit()
        assert exported.Memory.model_validate(rows[-1]).embedding == NUMBERS
    engine.dispose()


def test_ruff_finds_it_formatted(tmp_path):
    """With the settings of nobody: an application has its own."""
    ruff = shutil.which("ruff") or shutil.which("ruff", path=str(Path(sys.executable).parent))
    if ruff is None:
        pytest.skip("ruff is not installed")
    (tmp_path / "schema.py").write_text(export("pydantic")["schema.py"], encoding="utf-8")
    run([ruff, "format", "--isolated", "--check", "schema.py"], cwd=tmp_path, check=0)
    run([ruff, "check", "--isolated", "schema.py"], cwd=tmp_path, check=0)


def test_the_package_does_not_load_pydantic():
    code = "import sys; from diwa_schema.export import export; export('pydantic'); print('pydantic' in sys.modules)"
    assert run([sys.executable, "-c", code], check=0).stdout.strip() == "False"
