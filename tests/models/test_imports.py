from __future__ import annotations

import subprocess
import sys

import pytest

from diwa_schema import models
from diwa_schema.migrations.manifest import load

HEAVY = ("alembic", "rich", "psycopg", "pgvector", "numpy", "sqlalchemy.dialects.postgresql")


def loaded_after(code: str) -> set[str]:
    script = f"import sys; {code}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_models_load_nothing_but_sqlalchemy():
    loaded = loaded_after("from diwa_schema.models import Memory; Memory(content='x')")
    assert "sqlalchemy.orm" in loaded
    assert not loaded & set(HEAVY)
    others = {name for name in loaded if name.startswith("diwa_schema.") and "models" not in name}
    assert others == {
        "diwa_schema.names",
        "diwa_schema.release",
    }  # how SQL is quoted: the standard library alone


def test_every_class_is_of_this_package():
    """`Session` is the class of a table here, and another one in SQLAlchemy."""
    classes = [found for name in models.__all__ if isinstance(found := getattr(models, name), type)]
    assert len(classes) > 31
    assert {found.__module__.partition(".models.")[0] for found in classes} == {"diwa_schema"}


def test_types_alone_load_no_class():
    loaded = loaded_after("from diwa_schema.models.types import ShortText")
    assert "diwa_schema.models.core" not in loaded
    assert "sqlalchemy.orm" not in loaded


@pytest.mark.parametrize(
    ("module", "use"),
    [
        ("base", "Base.metadata.create_all(create_engine('sqlite://'))"),
        ("core", "Base.metadata.create_all(create_engine('sqlite://'))"),
        ("core", "configure_mappers()"),
        ("queues", "configure_mappers()"),
    ],
)
def test_who_imports_one_module_has_all_classes_when_they_are_used(module, use):
    code = (
        f"import diwa_schema.models.{module}; from diwa_schema.models.base import Base;"
        f" from sqlalchemy import create_engine; from sqlalchemy.orm import configure_mappers; {use};"
        f" assert len(Base.metadata.tables) == {len(load().tables)}, len(Base.metadata.tables)"
    )
    assert "diwa_schema.models.team" in loaded_after(code)
