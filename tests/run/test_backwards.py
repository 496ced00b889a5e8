"""An upgrade leads upward only, and a stamp says what it did not do."""

from __future__ import annotations

import pytest

import diwa_schema
from diwa_schema.cli import main
from diwa_schema.errors import UsageError
from diwa_schema.fleet import Fleet
from diwa_schema.migrations.manifest import load

IDS = load().ids


@pytest.fixture
def file(owner_directory, head_file):
    import shutil

    return f"sqlite:///{shutil.copy(head_file, owner_directory / 'app.db')}"


@pytest.mark.parametrize("revision", ["base", "-5"])
@pytest.mark.parametrize("verb", ["upgrade", "plan"])
def test_an_upgrade_leads_upward_only(file, capsys, verb, revision):
    assert main([verb, revision, "--url", file]) == 2
    assert f"diwa-schema downgrade {revision} --url" in capsys.readouterr().err
    assert diwa_schema.status(file).revision == IDS[-1]
    # A release that is named by its revision may be behind the database.
    assert main([verb, IDS[-3], "--url", file]) == 0


def test_a_fleet_leads_upward_only(file):
    with pytest.raises(UsageError, match="base"):
        Fleet(file).upgrade("base", repo="diwa-schema")


def test_base_of_an_empty_database_is_where_it_is(owner_directory):
    assert main(["upgrade", "base", "--url", "sqlite:///empty.db"]) == 0


def test_a_stamp_says_what_it_did_not_do_and_how_to_return(file, capsys):
    assert main(["stamp", IDS[-3], "--url", file]) == 0
    said = capsys.readouterr().out
    assert f"revision {IDS[-3]} is recorded" in said
    assert "ran no revision" in said
    assert f"diwa-schema stamp {IDS[-1]} --url" in said
    assert main(["stamp", "head", "--url", file]) == 0
    said = capsys.readouterr().out
    assert f"revision {IDS[-1]} is recorded" in said
    assert "68" not in said
    assert "To return" not in said
    assert diwa_schema.check(file) == []
