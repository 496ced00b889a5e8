"""Warnings, and the form in which findings are shown."""

from __future__ import annotations

from .checkouts import ECTO, NOT_PORTED

NEW = f"{ECTO}/{NOT_PORTED}_local.exs"


def test_raw_statements_outside_of_migrations_are_warnings(agent):
    agent.write(
        "lib/a.ex",
        'x\nexecute "ALTER TABLE memories ADD x int"\n  execute """\n  CREATE UNIQUE INDEX i\n  """\n',
    )
    agent.write(
        "app/a.py",
        '# op.create_table("x")\nop.create_table("x")\nBase.metadata.create_all(db)\nshop.create_order()\n',
    )
    agent.write(
        ".github/workflows/ci.yml",
        "      - run: mix ecto.migrate\n      - run: alembic -c x.ini upgrade head\n",
    )
    agent.write("scripts/setup.sh", "python manage.py migrate\npython -m diwa_schema upgrade\n")
    agent.write(
        "mix.exs",
        '"ecto.setup": ["ecto.migrate"],\n"ecto.migrate": ["cmd python3 -m diwa_schema upgrade"]\n',
    )
    agent.write("sql/a.sql", "-- drop table x\ndrop  table x;\n")
    agent.write("lib/fine.ex", 'Repo.query("select 1")\nname = "create tables of numbers"\n')
    agent.write("notes.md", "mix ecto.migrate\n")
    agent.commit()
    assert agent.errors() == []
    assert agent.warnings() == [
        (".github/workflows/ci.yml", 1),
        (".github/workflows/ci.yml", 2),
        ("app/a.py", 2),
        ("app/a.py", 3),
        ("lib/a.ex", 2),
        ("lib/a.ex", 4),
        ("mix.exs", 1),
        ("scripts/setup.sh", 1),
        ("sql/a.sql", 2),
    ]


def test_a_warning_in_an_old_file_is_not_an_annotation(agent, cli):
    agent.git("switch", "-q", "main")
    agent.write("scripts/old.sh", "mix ecto.migrate\n")
    agent.commit()
    agent.git("switch", "-q", "-C", "work")
    agent.write("scripts/new.sh", "mix ecto.migrate\n")
    agent.write(NEW)
    agent.commit()
    shown = cli("repo-check", "--format", "github", cwd=agent.root, check=1).stdout.splitlines()
    annotations = [line for line in shown if line.startswith("::")]
    assert [line.partition(",")[0] for line in annotations] == [
        f"::error file={NEW}",
        "::warning file=scripts/new.sh",
    ]
    assert any(line.startswith("scripts/old.sh:1: warning: ") for line in shown)


def test_annotations_are_escaped_as_github_reads_them(agent, cli):
    agent.write(f"{ECTO}/a:b,c%d\ne.exs")
    agent.commit()
    shown = cli("repo-check", cwd=agent.root, env={"GITHUB_ACTIONS": "true"}, check=1).stdout
    assert (
        f"::error file={ECTO}/a%3Ab%2Cc%25d%0Ae.exs,line=1,title=diwa-schema repo-check::a migration" in shown
    )
