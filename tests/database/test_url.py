"""What a database URL means, and that its password is never shown."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diwa_schema.database import url as urls
from diwa_schema.errors import InvalidDatabase, NoDatabase


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "ecto", "postgresql+psycopg"])
def test_every_spelling_of_postgresql_is_handed_to_libpq(scheme):
    parsed = urls.parse(f"{scheme}://app:secret@db:5433/diwa")
    assert parsed.dialect == "postgresql"
    assert parsed.driver == "postgresql://app:secret@db:5433/diwa"
    assert parsed.shown == f"{scheme}://app:***@db:5433/diwa"


def test_options_of_ecto_become_those_of_libpq():
    parsed = urls.parse("ecto://app@db/diwa?ssl=true&pool_size=10&options=-csearch_path%3Ddiwa")
    assert parsed.driver == "postgresql://app@db/diwa?options=-csearch_path%3Ddiwa&sslmode=require"


def test_a_socket_needs_no_host():
    assert urls.parse("postgresql:///diwa?host=/run/pg").driver == "postgresql:///diwa?host=%2Frun%2Fpg"


@pytest.mark.parametrize(
    ("text", "path", "in_memory"),
    [
        ("sqlite:///relative/diwa.db", "relative/diwa.db", False),
        ("sqlite:////absolute/diwa.db", "/absolute/diwa.db", False),
        ("sqlite+aiosqlite:///diwa.db", "diwa.db", False),
        ("sqlite://", ":memory:", True),
        ("sqlite:///:memory:", ":memory:", True),
        ("sqlite:///file:diwa.db?mode=ro&uri=true", "file:diwa.db?mode=ro", False),
    ],
)
def test_sqlite_paths(text, path, in_memory):
    parsed = urls.parse(text)
    assert (parsed.dialect, parsed.driver, parsed.in_memory) == ("sqlite", path, in_memory)


@pytest.mark.parametrize(
    "text",
    [
        "diwa",
        "mysql://db/diwa",
        "postgresql:/db",
        "postgresql://app:p@ss@db/diwa",
        "postgresql://app:pa/ss@db/diwa",
        "sqlite://host/diwa.db",
    ],
)
def test_what_is_no_database_url_is_refused_with_the_form_to_write(text):
    with pytest.raises(InvalidDatabase) as caught:
        urls.parse(text)
    assert "write" in str(caught.value).lower()
    assert "p@ss" not in str(caught.value)
    assert "pa/ss" not in str(caught.value)


def test_without_a_database_the_error_names_every_way(monkeypatch):
    monkeypatch.delenv("DATABASE_URL", raising=False)
    with pytest.raises(NoDatabase) as caught:
        urls.from_environment()
    for way in ("argument", "--url", "DATABASE_URL", "--embedded"):
        assert way in str(caught.value)


def test_the_migration_variable_comes_first(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://pooler/diwa")
    monkeypatch.setenv("DIWA_MIGRATION_DATABASE_URL", "postgresql://server/diwa")
    assert urls.from_environment() == "postgresql://server/diwa"


@given(st.text(st.characters(codec="utf-8", exclude_characters=" \n*"), min_size=4))
def test_no_password_is_shown(password):
    shown = urls.parse(f"postgresql://app:{quote(password, safe='')}@db/diwa").shown
    assert shown == "postgresql://app:***@db/diwa"
    assert password not in urls.mask(f"host=db password={quote(password, safe='')} user=app")
