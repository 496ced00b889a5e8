"""Whatever is typed: one of the documented exit codes, no traceback, no bug of our own, no password."""

from __future__ import annotations

import io
import json
import os
from contextlib import redirect_stderr, redirect_stdout
from unittest.mock import patch
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st

from diwa_schema.cli import main

# Between "unforeseen" and a right code lies this word.
BUG = "This is a bug"
ANY = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])

# No name is looked up anywhere: hosts are addresses of this machine where nobody listens, or cannot be names.
SIGNS = st.text(
    st.sampled_from("az09 \t\n%?#/@:,[]&=+'\"\\ä\N{DOUBLE-STRUCK CAPITAL C}²\udcff\0-_.~;"), max_size=12
)
SECRET = "kno9wn"
URLS = st.one_of(
    SIGNS,
    SIGNS.map(lambda text: f"sqlite:///{text}"),
    SIGNS.map(lambda text: f"sqlite:///file:{text}&uri=true"),
    SIGNS.map(lambda text: f"postgresql://app:{text}{SECRET}@127.0.0.1:1/diwa"),
    SIGNS.map(lambda text: f"postgresql://app:{quote(text, errors='replace')}{SECRET}@127.0.0.1:1/diwa"),
    SIGNS.map(lambda text: f"postgresql://app:{SECRET}@127.0.0.1:1/{text}"),
    SIGNS.map(lambda text: f"postgresql://127.0.0.1:{text}/diwa?hostaddr=127.0.0.1&connect_timeout=1"),
    SIGNS.map(lambda text: f"postgresql://127.0.0.1:1/diwa?{text}&hostaddr=127.0.0.1"),
    st.tuples(
        st.sampled_from(["sslmode", "ssl", "connect_timeout", "service", "options", "client_encoding", "x", "port"]),
        SIGNS,
    ).map(lambda pair: f"postgresql://127.0.0.1:1/diwa?{pair[0]}={quote(pair[1], errors='replace')}"),
)  # fmt: skip
REVISIONS = st.one_of(SIGNS, st.from_regex(r"[+-][0-9²]{1,30}", fullmatch=True), st.just("+" + "9" * 5000))
NUMBERS = st.one_of(
    SIGNS, st.floats().map(str), st.sampled_from(["nan", "inf", "-inf", "1e999", "1_0", "0", "1e-30"])
)
PATHS = st.one_of(
    SIGNS, st.sampled_from(["~nosuchuser/x", "/etc/passwd/x.db", "/proc/x.db", "x" * 300, "/dev/full", "~"])
)


def told(*words: str, environment: dict[str, str] | None = None) -> tuple[int, str]:
    """Return the exit code and everything that a command says."""
    out, err = io.StringIO(), io.StringIO()
    with patch.dict(os.environ, environment or {}), redirect_stdout(out), redirect_stderr(err):
        try:
            code = main(words)
        except SystemExit as end:  # --help
            code = int(end.code or 0)
    return code, out.getvalue() + err.getvalue()


def right(words: list[str], environment: dict[str, str] | None = None) -> None:
    code, said = told(*words, environment=environment)
    assert code in range(8), (words, said)
    assert BUG not in said, (words, said)
    assert SECRET not in said, (words, said)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(owner_directory):
    """A file that a path names is made nowhere else."""


@pytest.mark.parametrize("command", ["status", "upgrade"])
@given(url=URLS)
@example(url="postgresql://[bad/x")
@example(url="postgresql://app:p[w]kno9wn@127.0.0.1:1/x")
@example(url="postgresql://app:p kno9wn@127.0.0.1:1/x")
@ANY
def test_any_url(command, url):
    right([command, f"--url={url}"])


@given(url=URLS)
@ANY
def test_any_url_of_the_environment(url):
    if "\0" not in url:
        right(["status"], {"DATABASE_URL": url})


@pytest.mark.parametrize("command", ["upgrade", "downgrade", "stamp", "plan"])
@given(revision=REVISIONS)
@example(revision="+²")
@example(revision="+" + "9" * 5000)
@ANY
def test_any_revision(command, revision):
    right([command, "--url", "sqlite://", "--", revision])


@given(
    name=st.sampled_from(["lock-wait", "max-stall", "lock-budget", "strong-timeout", "build-timeout"]),
    value=NUMBERS,
)
@ANY
def test_any_setting(name, value):
    right(["upgrade", "--url", "sqlite://", f"--{name}={value}"])


@pytest.mark.parametrize("command", ["status", "upgrade"])
@given(path=PATHS)
@example(path="~\0")
@ANY
def test_any_path_of_the_embedded_database(command, path):
    right([command, f"--embedded={path}"])


@given(
    variables=st.dictionaries(
        st.sampled_from(["PGHOST", "PGPORT", "PGSSLMODE", "PGSERVICE", "PGCONNECT_TIMEOUT", "PGOPTIONS", "PGUSER"]),
        st.text(st.sampled_from("a0 ,:/=²-'\\"), max_size=6).filter(lambda text: not text.strip("a0 ,:²").isalpha()),
    )
)  # fmt: skip
@ANY
def test_any_environment_of_libpq(variables):
    right(["status", "--url", "postgresql://?hostaddr=127.0.0.1&port=1"], variables)


@given(
    variables=st.dictionaries(
        st.sampled_from(["XDG_DATA_HOME", "HOME"]), SIGNS.filter(lambda text: "\0" not in text)
    )
)
@ANY
def test_any_home(variables):
    if any(value.startswith("/") for value in variables.values()):
        return  # somebody's real folder
    right(["status", "--embedded"], variables)


def test_a_user_that_the_system_does_not_know(monkeypatch, tmp_path):
    """A container runs as any number it likes."""
    for name in ("HOME", "XDG_DATA_HOME", "USER", "LOGNAME", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)

    def nobody(_: int) -> None:
        raise KeyError("uid not found")

    monkeypatch.setattr("pwd.getpwuid", nobody)
    code, said = told("upgrade", "--embedded")
    assert (code, "no home directory" in said) == (2, True), said
    url = f"sqlite:///{tmp_path}/diwa.db"
    for words in (["upgrade", "--url", url], ["protect", "--url", url], ["unprotect", "--url", url]):
        assert told(*words)[0] == 0


def test_what_is_left_of_a_surprise_says_that_it_is_a_bug(monkeypatch):
    def surprise(_: object) -> None:
        raise KeyError(SECRET)

    monkeypatch.setattr("diwa_schema.cli.options.database_of", surprise)
    code, said = told("status", "--json", "--url", f"postgresql://app:{SECRET}@127.0.0.1:1/x")
    document = json.loads(said)
    assert (code, document["what"].startswith(BUG)) == (6, True)
    assert "rolled back" not in said
