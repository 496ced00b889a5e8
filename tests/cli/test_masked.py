"""A password that is typed in the wrong place is printed by no command."""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st

from diwa_schema.cli.masked import masked
from diwa_schema.cli.parser import build_parser
from tests.cli.test_any_input import BUG, told

SECRET = "kno9wn"
URL = f"postgresql://postgres:{SECRET}@127.0.0.1:1/db"
# An argument that no program may interpret as an option, an odd letter, and a URL that cannot be parsed.
URLS = [
    URL,
    f"postgres:{SECRET}@127.0.0.1/db",
    f"postgresql://u:'\\\"{SECRET} x@h:po/db",
    f"mysql://u:{SECRET}@h",
    f"host=h password={SECRET}",
]


def _commands(parser: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    below = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    if not below:
        yield words
    for one in below:
        for name, each in one.choices.items():
            yield from _commands(each, (*words, name))


COMMANDS = list(_commands(build_parser()))


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(owner_directory, monkeypatch):
    """No database is named but the one that the words name, and a file is made nowhere else."""
    for name in ("DATABASE_URL", "DIWA_MIGRATION_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO())


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_prints_a_password_that_is_out_of_place(command):
    for at, url in enumerate(URLS):
        for words in (
            [*command, url],
            [*command, url, url, url],
            [*command, "--ur", url],
            [*command, f"--ur={url}"],
            [*command, f"-h{url}"],
            ["--url", url, *command],
            [*command, "--log-format", url],
            [*command, "--jobs", url, "--lock-wait", url],
            [*command, "--repo", url],
            [*command, "--confirm", url, "--schema", url, "--embedded"],
            [*command, "--schema", url, "--url", "sqlite:///x.db"],
        )[: 3 if at else None]:
            code, said = told(*words)
            assert code < 8 or code == 141, (words, said)
            assert SECRET not in said, (words, said)
            assert BUG not in said, (words, said)
    code, said = told(*command, "--json", f"--ur={URL}")
    assert SECRET not in json.loads(said)["what"]


def test_the_rest_of_the_url_is_shown():
    assert "unrecognized arguments: postgresql://postgres:***@127.0.0.1:1/db" in told("status", URL)[1]
    assert "unrecognized arguments: ...@127.0.0.1:1/db" in told("status", URL.partition("://")[2])[1]


@pytest.mark.parametrize("url", URLS)
def test_no_message_about_the_command_itself_prints_it(url):
    for words in ([url], ["fleet", url], ["completion", url], ["export", url]):
        code, said = told(*words)
        assert code == 2
        assert SECRET not in said, said


SIGNS = st.text(st.sampled_from("az09 \t\n%?#/@:,[]&=+'\"\\ä\udcff-_.~;$"), max_size=8)


@pytest.mark.parametrize("form", [str, repr, quote])
@given(before=SIGNS, after=SIGNS, prefix=st.sampled_from(["", "--url=", "-h", "name,"]))
@example(before="", after="'", prefix="--url=")
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_spelling_of_a_word(form, before, after, prefix):
    word = f"{prefix}postgresql://app:{before}{SECRET}{after}@127.0.0.1:1/db"
    shown = form(word) if form is not quote else word
    assert SECRET not in masked(f"unrecognized arguments: {shown} and {shown}", [word])


def test_a_word_without_a_password_stays():
    words = ["sqlite:///diwa.db", "upgrade", "--lock-wait=3"]
    assert masked("no sqlite:///diwa.db, upgrade --lock-wait=3", words) == (
        "no sqlite:///diwa.db, upgrade --lock-wait=3"
    )
