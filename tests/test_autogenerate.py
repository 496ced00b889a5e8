"""The application's own Alembic beside ours: what `alembic revision --autogenerate` writes in a real project."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine, make_url

from diwa_schema.migrations import manifest
from tests.fixtures_checkout import run

HOOKS = "include_name=include_name, include_object=include_object"
ENV = """
from alembic import context
from sqlalchemy import create_engine
from diwa_schema.autogenerate import include_name, include_object
from models import metadata

with create_engine(context.config.get_main_option("sqlalchemy.url")).connect() as connection:
    context.configure(connection=connection, target_metadata=metadata, compare_type=True, OPTIONS)
    with context.begin_transaction():
        context.run_migrations()
"""
OWN = """
import sqlalchemy as sa
metadata = sa.MetaData()
sa.Table("notes", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("text", sa.Text))
"""
BESIDE_SHARED = """
import sqlalchemy as sa
from diwa_schema.models import Base, Memory
metadata = Base.metadata
class Note(Base):
    __tablename__ = "notes"
    id = sa.Column(sa.Integer, primary_key=True)
    memory_id = sa.Column(sa.ForeignKey(Memory.id))
"""
OTHER_SCHEMA = (
    OWN
    + """
sa.Table("tasks", metadata, sa.Column("id", sa.Integer, primary_key=True), schema="billing")
sa.Table("plans", metadata, sa.Column("id", sa.Integer, primary_key=True), schema="billing")
"""
)

Autogenerate = Callable[..., str]


@pytest.fixture
def autogenerate(tmp_path: Path) -> Autogenerate:
    """Writes a project with an Alembic of its own, and returns the `upgrade` that `--autogenerate` wrote."""

    def write(url: str, models: str, options: str = HOOKS, message: str = "first") -> str:
        (tmp_path / "own" / "versions").mkdir(parents=True, exist_ok=True)
        (tmp_path / "own" / "env.py").write_text(ENV.replace("OPTIONS", options))
        template = "revision = ${repr(up_revision)}\ndown_revision = ${repr(down_revision)}\n"
        template += "${imports}\nimport sqlalchemy as sa\nfrom alembic import op\n"
        template += "def upgrade():\n    ${upgrades}\n\ndef downgrade():\n    ${downgrades}\n"
        (tmp_path / "own" / "script.py.mako").write_text(template)
        (tmp_path / "models.py").write_text(models)
        engine_url = make_url(url)
        if engine_url.drivername == "postgresql":
            engine_url = engine_url.set(drivername="postgresql+psycopg")
        spelled = engine_url.render_as_string(hide_password=False).replace("%", "%%")
        (tmp_path / "alembic.ini").write_text(
            f"[alembic]\nscript_location = own\nprepend_sys_path = .\nsqlalchemy.url = {spelled}\n"
        )
        alembic = [sys.executable, "-m", "alembic"]
        run([*alembic, "revision", "--autogenerate", "-m", message], cwd=tmp_path, check=0)
        (script,) = (tmp_path / "own" / "versions").glob(f"*_{message}.py")
        return script.read_text().partition("def upgrade():")[2].partition("def downgrade():")[0]

    return write


def operations(upgrade: str) -> list[str]:
    return re.findall(r"op\.(\w\w+\('\w+')", upgrade)


@pytest.fixture(params=["postgresql", "sqlite"])
def shared(request, tmp_path, head_file, head_template) -> str:
    """The URL of a shared database at head, with what a run can leave there beside the schema's tables."""
    if request.param == "sqlite":
        (tmp_path / "shared.db").write_bytes(head_file.read_bytes())
        url = f"sqlite:///{tmp_path / 'shared.db'}"
    else:
        url = request.getfixturevalue("new_database")(head_template)
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        for name in (
            "diwa_schema_kept_tala_operations",
            "diwa_schema_protection",
            "diwa_schema_position",
            "schema_migrations",
        ):
            connection.exec_driver_sql(f"CREATE TABLE IF NOT EXISTS {name} (id integer)")
    engine.dispose()
    return url


def test_without_it_the_shared_tables_would_be_dropped(autogenerate, shared):
    dropped = set(re.findall(r"drop_table\('(\w+)'", autogenerate(shared, OWN, "")))
    assert {
        *manifest.load().tables,
        "diwa_schema_version",
        "diwa_schema_ledger",
        "schema_migrations",
    } <= dropped


def test_only_the_applications_own_tables_are_seen(autogenerate, shared):
    assert operations(autogenerate(shared, OWN)) == ["create_table('notes'"]


def test_shared_models_in_the_same_metadata_are_not_created_again(autogenerate, shared):
    found = autogenerate(shared, BESIDE_SHARED)
    assert operations(found) == ["create_table('notes'"]
    assert "['memories.id']" in found


def test_what_it_made_itself_it_still_changes_and_drops(autogenerate, shared):
    engine = create_engine(shared.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE notes (id integer NOT NULL PRIMARY KEY, more text)")
        connection.exec_driver_sql("CREATE TABLE gone (id integer PRIMARY KEY)")
    engine.dispose()
    found = autogenerate(shared, OWN)
    assert sorted(operations(found)) == ["add_column('notes'", "drop_column('notes'", "drop_table('gone'"]


def test_tables_in_other_schemas(autogenerate, new_database, head_template):
    """A tenant's shared tables are not the application's; a table by such a name in its own schema is."""
    url = new_database(head_template)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA tenant")
        for name in ("memories", "tasks", "diwa_schema_version", "diwa_schema_kept_memories"):
            connection.execute(f"CREATE TABLE tenant.{name} (id integer)")
        connection.execute("CREATE SCHEMA billing")
        connection.execute("CREATE TABLE billing.tasks (id integer PRIMARY KEY, old text)")
    found = autogenerate(url, OTHER_SCHEMA, f"{HOOKS}, include_schemas=True")
    assert sorted(operations(found)) == [
        "create_table('notes'",
        "create_table('plans'",
        "drop_column('tasks'",
    ]
    assert "tenant" not in found
