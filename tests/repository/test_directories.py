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
