from __future__ import annotations

import pytest

from diwa_schema.errors import UsageError
from diwa_schema.repository import ported as module
from diwa_schema.repository.remarks import Level

from .checkouts import ECTO, NOT_PORTED, PORTED, ported

PATH = f"{ECTO}/{PORTED}_tenancy.exs"
LIST = ".diwa-schema/ported.toml"
CONTENT = "create table(:tenants)\n"


@pytest.fixture
def added(agent):
    agent.write(PATH, CONTENT)
    return agent


def accept(agent, **other):
    agent.write(LIST, ported(PATH, CONTENT, **other))


def test_a_ported_migration_passes(added):
    assert added.errors() == [PATH]
    accept(added)
    added.commit()
    assert added.errors() == []


def test_line_ends_do_not_matter(added):
    accept(added)
    (added.root / PATH).write_bytes(CONTENT.replace("\n", "\r\n").encode())
    assert added.errors() == []


def test_being_named_is_not_enough_when_the_installed_history_lacks_the_version(agent):
    path = agent.write(f"{ECTO}/{NOT_PORTED}_local.exs", CONTENT)
    agent.write(LIST, ported(path, CONTENT))
    (finding,) = agent.check().findings
    assert (finding.path, finding.level) == (path, Level.ERROR)
    assert f"no revision {NOT_PORTED}" in finding.what


def test_being_in_the_installed_history_is_not_enough(added):
    added.write(LIST, ported("other/file.exs", CONTENT))
    assert added.errors() == [PATH]
    assert added.warnings() == [(LIST, 3)]


def test_a_file_without_a_version_in_its_name_says_which_revision_it_became(agent):
    path = agent.write("alembic/versions/ab12_tenancy.py", CONTENT)
    agent.write(LIST, ported(path, CONTENT))
    agent.git("add", ".")
    assert agent.errors() == [path]
    agent.write(LIST, ported(path, CONTENT, version=f'"{PORTED}"'))
    assert agent.errors() == []


def test_a_version_in_the_entry_cannot_stand_for_another_one_in_the_name(agent):
    path = agent.write(f"{ECTO}/{NOT_PORTED}_local.exs", CONTENT)
    agent.write(LIST, ported(path, CONTENT, version=f'"{PORTED}"'))
    assert agent.errors() == [LIST, path]


def test_another_content_fails_at_its_line_in_the_list(added):
    accept(added)
    added.write(PATH, "something else\n")
    (finding,) = added.check().findings
    assert (finding.path, finding.line) == (LIST, 3)
    assert PATH in finding.what


def test_another_content_that_is_only_staged_fails(added):
    accept(added)
    added.write(PATH, "something else\n")
    added.git("add", ".")
    added.write(PATH, CONTENT)
    assert added.errors() == [LIST]


@pytest.mark.parametrize(
    ("other", "line", "says"),
    [
        ({"date": "2999-01-01"}, 5, "2999-01-01 is in the future"),
        ({"date": '"2999-01-01"'}, 5, "in the future"),
        ({"date": '"yesterday"'}, 5, "not a date"),
        ({"date": ""}, 1, "'date' is missing"),
        ({"reviewer": '""'}, 4, "'reviewer' is missing"),
        ({"reviewer": '"  "'}, 4, "'reviewer' is missing"),
        ({"reviewer": "7"}, 4, "'reviewer' is not a text"),
        ({"sha256": '"abc"'}, 3, "64 hexadecimal digits"),
        ({"sha256": f'"{"A" * 64}"'}, 3, "64 hexadecimal digits"),
        ({"sha256": f'"{"0" * 64}"'}, 3, "not the reviewed one"),
        ({"file": '"/etc/passwd"'}, 2, "from the root"),
        ({"file": '"../x"'}, 2, "from the root"),
        ({"reviewed": "true"}, 6, "'reviewed' is unknown"),
        ({"version": "20251224044223"}, 6, "'version' is not a text"),
    ],
)
def test_a_wrong_entry_fails_and_names_its_line(added, cli, other, line, says):
    accept(added, **other)
    done = cli("repo-check", cwd=added.root, check=1)
    assert f"{LIST}:{line}: error: " in done.stdout
    assert says in done.stdout


def test_the_line_is_that_of_the_wrong_entry(added):
    good = ported("a.exs", "a")
    added.write(LIST, f"# reviewed\n{good}\n{ported(PATH, CONTENT, date='2999-01-01')}")
    findings = [one for one in added.check().findings if one.path == LIST and one.level is Level.ERROR]
    assert [one.line for one in findings] == [12]


def test_a_file_named_twice_fails(added):
    added.write(LIST, ported(PATH, CONTENT) + ported(PATH, CONTENT))
    (finding,) = added.check().findings
    assert "twice" in finding.what
    assert finding.line == 7


@pytest.mark.parametrize("content", ["[[ported", "ported = 3", "\x00", '[[ported]]\nfile = "a'])
def test_a_list_that_is_no_toml_is_refused(added, cli, content):
    added.write(LIST, content)
    done = cli("repo-check", cwd=added.root, check=2)
    assert f"Fix {LIST}" in done.stderr or "[[ported]]" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_is_no_text_is_refused(added):
    (added.root / ".diwa-schema").mkdir()
    (added.root / LIST).write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="not TOML"):
        added.check()


def test_without_a_list_nothing_is_ported():
    assert module.read(None) == ({}, [])
