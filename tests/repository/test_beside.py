"""An application's own tables: what makes them passes, and nothing that could reach the shared schema does."""

from __future__ import annotations

import pytest

from diwa_schema.repository.beside import objection

from .checkouts import ECTO

ELIXIR = f"{ECTO}/20270101000000_notes.exs"
PYTHON = "history/alembic/versions/ab12_notes.py"

NOTES = """defmodule Agent.Repo.Migrations.Notes do
  use Ecto.Migration

  @disable_ddl_transaction true

  # the "notes" of a user
  def change do
    create table(:notes, primary_key: false) do
      add :id, :binary_id, primary_key: true, default: fragment("gen_random_uuid()")
      add(:state, :string, null: false, default: "new") # open
      add :weight, :float, default: -1.5
      add :topic_id, references(:topics, on_delete: :delete_all, type: :binary_id)
      timestamps(type: :utc_datetime)
    end

    create_if_not_exists index(:notes, [:state], where: "state in ('new', 'old')")
    create constraint(:notes, :state_is_known, check: "length(state) > 0")
  end
end
"""
ALEMBIC = '''"""Notes.

Revision ID: ab12
"""
from typing import Sequence, Union

from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

revision: str = "ab12"
down_revision: Union[str, Sequence[str], None] = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Upgrade schema."""
    op.create_table(
        "notes",
        sa.Column("id", sa.UUID(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("state", sa.String(length=20), server_default="new"),
        sa.Column("data", postgresql.JSONB(astext_type=sa.Text())),
        sa.ForeignKeyConstraint(["topic_id"], ["topics.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_notes_state"), "notes", ["state"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_notes_state"), table_name="notes")
    op.drop_table("notes")
'''


def test_tables_of_the_applications_own_pass(agent):
    agent.write(ELIXIR, NOTES)
    agent.write(PYTHON, ALEMBIC)
    assert (objection(ELIXIR, NOTES.encode()), objection(PYTHON, ALEMBIC.encode())) == (None, None)
    assert objection(ELIXIR, NOTES.replace("\n", "\r\n").encode()) is None
    agent.commit()
    assert agent.errors() == []
    agent.write(ELIXIR, NOTES.replace(":notes", ":papers"))
    assert agent.errors() == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("create table(:notes,", "alter table(:memories,"),
        ("references(:topics", "references(:memories"),
        ("table(:notes,", 'table("memories",'),
        ("table(:notes,", 'table(:"memories",'),
        ("table(:notes,", "table(:Memories,"),
        ("table(:notes,", 'table("mem" <> "ories",'),
        ("table(:notes,", 'table("mem\\x6fries",'),
        ("table(:notes,", 'table("mem#{:ories}",'),
        ("table(:notes,", "table('memories',"),
        ("table(:notes,", "table(~s(x),"),
        ("table(:notes,", "table(@other,"),
        ("    create table", '    execute "ALTER TABLE x ADD y int"\n    create table'),
        ("    create table", '    :"Elixir.Agent.Helper".change()\n    create table'),
        ("    create table", "    Agent.Helper.change()\n    create table"),
        ("    create table", "    helper()\n    create table"),
        ("    create table", "    drop index(:notes, [:a], name: :memories_pkey)\n    create table"),
        ("    create table", "    rename table(:notes), to: table(:memories)\n    create table"),
        ("    create table", "    drop table(:schema_migrations)\n    create table"),
        ("    create table", "    drop table(:diwa_schema_version)\n    create table"),
        ("default: -1.5", 'default: ?" ); execute("'),
        ("length(state) > 0", "1 = 1); DROP TABLE x"),
        ("length(state) > 0", "query_to_xml(concat(chr(68), chr(82)))"),
        ("length(state) > 0", "true /* x"),
        ('check: "length(state) > 0"', 'check: """\n  1 = 1\n  # 1); DROP TABLE x\n  """'),
        ("use Ecto.Migration", "use Agent.Migration"),
        ("use Ecto.Migration", "use Ecto.Migration\n  import Agent.Helper"),
        ("defmodule Agent", 'File.rm("x")\ndefmodule Agent'),
        ("# the", "# a note\r    helper()\n  # the"),
        ("# the", "# \u043c\u0435\u043cories"),
    ],
)
def test_what_could_reach_the_shared_schema_fails_in_elixir(old, new):
    assert old in NOTES
    assert objection(ELIXIR, NOTES.replace(old, new).encode())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('op.drop_table("notes")', 'op.drop_table("memories")'),
        ('op.drop_table("notes")', 'op.drop_table("Memories")'),
        ('op.drop_table("notes")', 'op.drop_table("mem" "ories")'),
        ('op.drop_table("notes")', 'op.drop_table("mem\\x6fries")'),
        ('op.drop_table("notes")', 'op.drop_table("mem" + "ories")'),
        ('op.drop_table("notes")', 'op.drop_table(f"mem{chr(111)}ries")'),
        ('op.drop_table("notes")', 'op.drop_table("seiromem"[::-1])'),
        ('op.drop_table("notes")', 'op.drop_table(b"memories")'),
        ('op.drop_table("notes")', "op.drop_table(TABLE)"),
        ('op.drop_table("notes")', 'op.drop_index("memories_pkey")'),
        ('op.drop_table("notes")', 'op.execute("SELECT 1")'),
        ('op.drop_table("notes")', 'op.get_bind().exec_driver_sql("SELECT 1")'),
        ('op.drop_table("notes")', 'getattr(op, "execute")("SELECT 1")'),
        ('op.drop_table("notes")', "for name in ():\n        op.drop_table(name)"),
        ('["topics.id"]', '["memories.id"]'),
        ("sa.Text()", "sa.create_engine()"),
        ("sa.Text()", "__import__('os').system('x')"),
        ("sa.Text()", "(lambda: 1)()"),
        ('sa.text("gen_random_uuid()")', 'sa.text("1); DROP TABLE x")'),
        ("revision: str", "revision: __import__('os').system('x')"),
        ("-> None:\n    op.drop_index", "-> exec('x'):\n    op.drop_index"),
        ("def upgrade()", "def upgrade(x=exec('x'))"),
        ("def upgrade()", "@exec\ndef upgrade()"),
        ("import sqlalchemy as sa", "import agent as sa"),
        ("from alembic import op", "from agent import op"),
        ("from alembic import op", "from alembic import context as op"),
        ('revision: str = "ab12"', 'revision: str = "ab12"\nop.drop_table("x")'),
        ('"""Notes.', "# coding: utf-7\n# +AAo-import os\n" + '"""Notes.'),
        ('"""Notes.', "# a note\rimport os\n" + '"""Notes.'),
    ],
)
def test_what_could_reach_the_shared_schema_fails_in_python(old, new):
    assert old in ALEMBIC
    assert objection(PYTHON, ALEMBIC.replace(old, new).encode())


@pytest.mark.parametrize(
    "path",
    [
        f"{ECTO}/20270101000000_notes.EXS",
        f"{ECTO}/nested/20270101000000_notes.sql",
        f"{ECTO}/20260117075000_notes.exs",  # a version of the shared history: Ecto would take it for that one
        "db/guarded/20270101000000_notes.exs",
        "vendor/diwa_schema/migrations/versions/20270101000000_notes.exs",
    ],
)
def test_some_places_and_names_fail_whatever_is_in_the_file(agent, path):
    agent.write(
        "pyproject.toml",
        '[project]\nname = "diwa-agent"\n[tool.diwa-schema]\nmigration-paths = ["db/guarded"]\n',
    )
    agent.write(path, NOTES)
    agent.commit()
    assert agent.errors() == [path]


def test_a_link_is_no_migration_of_ones_own_and_an_old_one_does_not_become_it(agent):
    agent.write("lib/notes.exs", NOTES)
    (agent.root / ELIXIR).parent.mkdir(parents=True, exist_ok=True)
    (agent.root / ELIXIR).symlink_to("../../../lib/notes.exs")
    agent.commit()
    assert ELIXIR in agent.errors()
    old = f"{ECTO}/20250101000001_old.exs"
    agent.write(old, NOTES)
    assert old in agent.errors()
