"""Where migrations are: by the repository's own word, and behind symbolic links."""

from __future__ import annotations

import pytest

from diwa_schema.errors import UsageError


def test_configured_paths_count_and_a_change_cannot_take_them_away(agent):
    agent.git("switch", "-q", "main")
    places = 'migration-paths = ["db/changes", "svc/*/sql/*.sql"]'
    agent.write("pyproject.toml", f'[project]\nname = "diwa-agent"\n[tool.diwa-schema]\n{places}\n')
    agent.commit()
    agent.git("switch", "-q", "-C", "work")
    agent.write("db/changes/1.txt")
    agent.write("svc/a/sql/1.sql")
    agent.write("svc/a/sql/1.md")
    agent.write("svc/a/b/sql/1.sql")
    agent.write("pyproject.toml", '[project]\nname = "diwa-agent"\n')
    agent.commit()
    assert agent.errors() == ["db/changes/1.txt", "svc/a/sql/1.sql"]


@pytest.mark.parametrize("paths", ['"db"', "[1]", '["/etc"]', '["../other"]', '[""]', '["."]'])
def test_configured_paths_that_are_no_places_are_refused(agent, paths):
    agent.write(
        "pyproject.toml", f'[project]\nname = "diwa-agent"\n[tool.diwa-schema]\nmigration-paths = {paths}\n'
    )
    with pytest.raises(UsageError, match="migration-paths"):
        agent.check()


def test_a_linked_directory_is_followed(agent):
    agent.git("switch", "-q", "main")
    agent.write("shared/sql/1.exs")
    (agent.root / "apps" / "x" / "priv" / "repo").mkdir(parents=True)
    (agent.root / "apps/x/priv/repo/migrations").symlink_to("../../../../shared/sql")
    (agent.root / "loop").symlink_to(".")
    agent.commit()
    agent.git("switch", "-q", "-C", "work")
    agent.write("shared/sql/2.exs")
    agent.commit()
    assert agent.errors() == ["shared/sql/2.exs"]


def test_a_link_in_the_place_of_a_directory_fails_when_it_is_new(agent):
    (agent.root / "alembic").mkdir()
    (agent.root / "alembic" / "versions").symlink_to("../lib")
    agent.commit()
    assert agent.errors() == ["alembic/versions"]


@pytest.mark.parametrize("target", ["/srv/migrations", "../../outside"])
def test_a_link_that_leads_out_of_the_repository_fails_even_if_it_is_old(agent, target):
    agent.git("switch", "-q", "main")
    (agent.root / "alembic").mkdir()
    (agent.root / "alembic" / "versions").symlink_to(target)
    agent.commit()
    agent.git("switch", "-q", "-C", "work")
    assert agent.errors() == ["alembic/versions"]


@pytest.mark.parametrize(
    ("file", "content", "path"),
    [
        ("alembic.ini", "[alembic]\nscript_location = %(here)s/db/own\n", "db/own/versions/ab12.py"),
        ("svc/alembic.ini", "[alembic]\nscript_location = own\n", "svc/own/versions/ab12.py"),
        ("svc/alembic.ini", "[alembic]\nscript_location = svc/own\n", "svc/own/versions/ab12.py"),
        ("other.cfg", "[tenant]\nscript_location = agent.db:own\n", "src/agent/db/own/versions/ab12.py"),
        ("alembic.ini", "[alembic]\nscript_location = .\nversion_locations = %(here)s/a %(here)s/b\n", "b/1.py"),
        ("alembic.ini", "[alembic]\nversion_locations =\n    a\n    b\npath_separator = newline\n", "b/1.py"),
        ("alembic.ini", "[alembic]\nversion_locations = a:b\nversion_path_separator = os\n", "b/1.py"),
        ("alembic.ini", "[base]\n[alembic]\nfolder = own\nscript_location = db/%(folder)s\n", "db/own/versions/1.py"),
        ("pyproject.toml", '[project]\nname = "diwa-agent"\n[tool.alembic]\nscript_location = "%(here)s/own"\n', "own/versions/1.py"),
        ("pyproject.toml", '[project]\nname = "diwa-agent"\n[tool.alembic]\nversion_locations = ["x", "%(here)s/y"]\n', "y/1.py"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("when", ["before", "with it", "uncommitted"])
def test_the_places_of_its_own_alembic_count(agent, file, content, path, when):
    if when == "before":
        agent.git("switch", "-q", "main")
        agent.write(file, content)
        agent.commit()
        agent.git("switch", "-q", "-C", "work")
        # Taking the setting away in the same change does not lift the check.
        agent.write(file, '[project]\nname = "diwa-agent"\n')
    else:
        agent.write(file, content)
    agent.write(path)
    if when == "uncommitted":
        agent.git("add", path)
    else:
        agent.commit()
    assert agent.errors() == [path]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            "[alembic]\nscript_location = /srv/migrations\n",
            "'/srv/migrations/versions' is not inside",
        ),
        (
            "[alembic]\nscript_location = %(here)s/../../x\n",
            "'%(here)s/../../x/versions' is not inside",
        ),
        ("script_location = x\n", "cannot be read"),
        ("[alembic]\nscript_location = %(nowhere)s\n", "cannot be read"),
    ],
)
def test_what_cannot_be_looked_at_is_a_warning(agent, content, said):
    agent.write("alembic.ini", content)
    (finding,) = agent.check().findings
    assert (finding.level, finding.path) == ("warning", "alembic.ini")
    assert said in finding.what
