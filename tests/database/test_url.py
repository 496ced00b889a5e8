"""What a database URL means, compared with those who know: libpq's own parser, SQLAlchemy and SQLite."""

from __future__ import annotations

import re
import shlex
import sqlite3
from contextlib import closing
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from hypothesis import example, given, settings, strategies as st
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from diwa_schema.database import url as urls
from diwa_schema.database.spelling import mask
from diwa_schema.database.target import Target
from diwa_schema.errors import DiwaSchemaError, InvalidDatabase, NoDatabase

# Texts with the signs that have a meaning in URLs, and with some that have none.
PARTS = st.text(
    st.sampled_from("abz09 \t%?#/@:,[]&=+'\"\\ä\N{DOUBLE-STRUCK CAPITAL C}日-_.~;$^"), max_size=12
)
WORDS = PARTS.filter(bool)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "ecto", "postgresql+psycopg"])
def test_every_spelling_of_postgresql_is_handed_to_libpq(scheme):
    parsed = urls.parse(f"{scheme}://app:secret@db:5433/diwa")
    assert parsed.dialect == "postgresql"
    assert parsed.driver == "postgresql://app:secret@db:5433/diwa"
    assert parsed.shown == f"{scheme}://app:***@db:5433/diwa"


def test_options_of_ecto_become_those_of_libpq():
    parsed = urls.parse("ecto://app@db/diwa?ssl=true&pool_size=10&options=-csearch_path%3Ddiwa")
    assert parsed.driver == "postgresql://app@db/diwa?options=-csearch_path%3Ddiwa&sslmode=require"
    assert asked("ecto://db/diwa?socket_dir=/run/pg")["host"] == "/run/pg"


def test_a_socket_needs_no_host():
    assert urls.parse("postgresql:///diwa?host=/run/pg").driver == "postgresql:///diwa?host=%2Frun%2Fpg"


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("postgresql://h/frag#2", {"host": "h", "dbname": "frag#2"}),
        ("postgresql://h/?dbname=shared", {"host": "h", "dbname": "shared"}),
        ("postgresql://h/named?dbname=shared", {"host": "h", "dbname": "shared"}),
        ("postgresql://h/?service=shop", {"host": "h", "service": "shop"}),
        ("postgresql:///d?host=127.0.0.1:5433", {"host": "127.0.0.1", "port": "5433", "dbname": "d"}),
        ("postgresql:///d?host=[::1]:5433", {"host": "::1", "port": "5433", "dbname": "d"}),
        ("postgresql:///d?host=a:1&host=b:2", {"host": "a,b", "port": "1,2", "dbname": "d"}),
        ("postgresql:///d?host=a&host=b", {"host": "a,b", "dbname": "d"}),
        ("postgresql://a:1,b:2/d", {"host": "a,b", "port": "1,2", "dbname": "d"}),
        ("postgresql://a,b:2/d", {"host": "a,b", "port": ",2", "dbname": "d"}),
        ("postgresql://[fe80::1%25eth0]:1/d", {"host": "fe80::1%eth0", "port": "1", "dbname": "d"}),
        ("postgresql://dätenbank/kärnten", {"host": "dätenbank", "dbname": "kärnten"}),
        ("postgresql://u:p?w[1]+:x@\N{DOUBLE-STRUCK CAPITAL C}.example/d", {"user": "u", "password": "p?w[1]+:x", "host": "\N{DOUBLE-STRUCK CAPITAL C}.example", "dbname": "d"}),
        ("postgresql://h/d?ssl=require", {"host": "h", "dbname": "d", "sslmode": "require"}),
        ("postgresql://h/d?ssl=verify-full", {"host": "h", "dbname": "d", "sslmode": "verify-full"}),
        ("postgresql://h/d?ssl=false", {"host": "h", "dbname": "d", "sslmode": "disable"}),
        ("ecto://h/d?ssl=true&sslmode=verify-ca", {"host": "h", "dbname": "d", "sslmode": "verify-ca"}),
        ("postgresql+asyncpg://h/d?timeout=5", {"host": "h", "dbname": "d", "connect_timeout": "5"}),
    ],
)  # fmt: skip
def test_each_part_means_what_libpq_or_sqlalchemy_means_by_it(text, parameters):
    assert asked(text) == parameters
    assert libpq(urls.parse(text).driver) == parameters


@given(
    user=PARTS, password=PARTS, name=PARTS, host=st.sampled_from(["", "db", "[::1]", "a,b", "a:1,b:2", "db:5433", "ä"]),
    query=st.dictionaries(st.sampled_from(["user", "password", "dbname", "service", "options", "krbsrvname"]), WORDS),
)  # fmt: skip
def test_whatever_is_written_correctly_means_what_libpq_reads(user, password, name, host, query):
    login = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user or password else ""
    options = "&".join(f"{key}={quote(value, safe='')}" for key, value in query.items())
    text = f"postgresql://{login}{host}/{quote(name, safe='')}{'?' if options else ''}{options}"
    parsed = urls.parse(text)
    meant = libpq(text)
    assert dict(parsed.parameters) == meant
    # And so does what is written from it, which people and other drivers get.
    assert libpq(parsed.driver) == meant
    assert urls.parse(parsed.driver).parameters == parsed.parameters


@given(st.text(st.sampled_from("ab1 %20?#/@:,[]&=+äost"), max_size=25))
@example("app:12/s@db/diwa")
@example("h:5432/db?application_name=a@b")
@example("u@h:1/x@y")
@settings(max_examples=500)
def test_any_text_means_what_libpq_and_sqlalchemy_read_or_is_refused(rest):
    text = f"postgresql://{rest}"
    try:
        parsed = urls.parse(text)
    except InvalidDatabase:
        return  # see below what it says
    try:
        meant = libpq(text)
    except ProgrammingError:
        meant = None  # it does not know a parameter, or not that of SQLAlchemy
    if meant is not None and "host" not in rest:
        said = {name: value for name, value in parsed.parameters if value.strip(",")}
        assert said == {name: value for name, value in meant.items() if value.strip(",")}
    try:
        other = sa.make_url(text)
    except (sa.exc.ArgumentError, ValueError):
        return
    if not {"?", ",", " ", "%"} & set(rest) and (other.host or other.username):
        named = {
            "host": other.host,
            "user": other.username,
            "password": other.password,
            "dbname": other.database,
        }
        assert {k: v for k, v in named.items() if v} == {k: v for k, v in parsed.parameters if k in named}


@given(user=WORDS, password=PARTS, name=PARTS)
def test_a_url_object_means_what_its_parts_say(user, password, name):
    made = sa.URL.create("postgresql+psycopg", user, password or None, "db", 5433, name or None)
    named = {"user": user, "password": password, "dbname": name, "host": "db", "port": "5433"}
    parsed = urls.of_parts(made)
    assert dict(parsed.parameters) == {key: value for key, value in named.items() if value}
    assert libpq(parsed.driver) == dict(parsed.parameters)
    assert (":***@" in parsed.shown) == bool(password)
    assert urls.of_parts(made.set(password="another")).shown == parsed.shown or not password


@pytest.mark.parametrize(
    ("text", "path", "in_memory"),
    [
        ("sqlite:///relative/diwa.db", "relative/diwa.db", False),
        ("sqlite:////absolute/diwa.db", "/absolute/diwa.db", False),
        ("sqlite+aiosqlite:///diwa.db", "diwa.db", False),
        ("sqlite:///50%25%3F%23.db", "50%?#.db", False),
        ("sqlite:///a#b.db", "a#b.db", False),
        ("sqlite:////srv/mode=memory/../app.db", "/srv/mode=memory/../app.db", False),
        ("sqlite:////srv/%3Fmode=memory", "/srv/?mode=memory", False),
        ("sqlite://", ":memory:", True),
        ("sqlite:///:memory:", ":memory:", True),
        ("sqlite:///file:diwa.db?mode=ro&uri=true", "file:diwa.db?mode=ro", False),
        ("sqlite:///file:mode=memory/app.db?uri=true", "file:mode=memory/app.db", False),
        ("sqlite:///file:app.db?mode=rwc&vfs=mode=memory&uri=true", "file:app.db?mode=rwc&vfs=mode=memory", False),
        ("sqlite:///file:shared?mode=memory&cache=shared&uri=true", "file:shared?mode=memory&cache=shared", True),
        ("sqlite:///file::memory:?uri=true", "file::memory:", True),
        # SQLite's URI ends at its #: what follows is no parameter.
        ("sqlite:///file:/srv/app.db#?mode=memory&uri=true", "file:/srv/app.db?mode=memory", True),
        ("sqlite:///file:/srv/app.db%23?x=1&uri=true", "file:/srv/app.db?x=1", False),
    ],
)  # fmt: skip
def test_sqlite_paths(text, path, in_memory):
    parsed = urls.parse(text)
    assert (parsed.dialect, parsed.driver, parsed.in_memory) == ("sqlite", path, in_memory)


@given(
    st.lists(st.sampled_from(["/", "x", "mode=memory", "?", "#", "&", "%3F", "%23", ":memory:", "..", "mode=rwc", "%6dode=memory"]), max_size=6),
    st.booleans(),
)  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_sqlite_is_in_memory_only_where_sqlite_says_so(tmp_path_factory, pieces, uri):
    folder = tmp_path_factory.mktemp("any")
    text = f"sqlite:///{'file:' if uri else ''}{folder}/{''.join(pieces)}"
    if uri:
        text += f"{'&' if '?' in text else '?'}uri=true"
    try:
        target = Target.of(text)
        link = target.connect()
    except DiwaSchemaError:  # a folder that is not there, a parameter that is refused
        return
    with link:
        link.execute("CREATE TABLE made (n integer)")
        files = [file for _, _, file in link.rows("PRAGMA database_list")]
        assert target.in_memory == (not any(files)), (text, files)
        if not target.in_memory:
            assert files == [target.url.file]


@given(
    st.text(st.characters(exclude_characters="\0/", codec="utf-8"), min_size=1, max_size=20).filter(
        lambda name: name not in (".", "..")
    )
)
@settings(deadline=None)
def test_a_path_keeps_every_sign_on_its_way_through_a_url(tmp_path_factory, name):
    path = tmp_path_factory.mktemp("path") / name
    with closing(sqlite3.connect(path)) as made:
        made.execute("CREATE TABLE mine (n integer)")
    url = urls.sqlite_url(path)
    with Target.of(url).connect() as link:
        assert link.value("SELECT name FROM sqlite_master") == "mine"
    assert sa.make_url(url).database == str(path)


def test_one_file_is_one_database_whatever_link_leads_to_it(tmp_path):
    (tmp_path / "link.db").symlink_to(tmp_path / "diwa.db")
    (tmp_path / "folder").symlink_to(tmp_path)
    named = [tmp_path / "diwa.db", tmp_path / "link.db", tmp_path / "folder" / "diwa.db"]
    targets = [Target.of(urls.sqlite_url(path)) for path in named]
    targets.append(Target.of(f"sqlite:///file:{tmp_path / 'link.db'}?mode=rwc&uri=true"))
    assert {target.identity for target in targets} == {("sqlite", str(tmp_path / "diwa.db"))}


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "diwa", "mysql://db/diwa", "postgresql:/db", "sqlite://host/diwa.db",
        "postgresql://app:p@qqq@db/diwa", "postgresql://app:pa/qqq@db/diwa", "postgresql://app:12/qqq@db/diwa",
        "postgresql://app:p qqq@db/diwa", "postgresql://app:p\tqqq@db/diwa", "postgresql://app:p%qqq@db/diwa",
        "postgresql://app:p%ffqqq@db/diwa", "postgresql://app:p%00qqq@db/diwa", "postgresql://app:qqq@[bad/x",
        "postgresql://app:qqq@h:po/x", "postgresql://app:qqq@h:70000/x", "postgresql://app:qqq@h:\N{FULLWIDTH DIGIT FIVE}/x",
        "postgresql://app:qqq@h/x?ssl=maybe", "postgresql://app:qqq@h/x?sslmode=maybe", "postgresql://app:qqq@h/x?ssl=require&sslmode=disable",
        "postgresql://app:qqq@h/x?sslmode=require&sslmode=disable", "postgresql://app:qqq@h/x?pass",
        "postgresql://app:qqq@h/x?host=a:1&port=2", "postgresql://app:qqq@h/x?host=a,b,c&port=1,2",
        "postgresql://app:\udcffqqq@h/x",
        "sqlite:///file:x.db?mode=ro", "sqlite:///x.db?mode=ro", "sqlite:///x.db?x=1",
        "sqlite:///file:x.db?mode=memory&mode=rwc&uri=true", "sqlite:///file://else/x.db?uri=true",
        "sqlite:///x.db?timeout=nan", "sqlite:///x%00.db", "sqlite:///x\ud800.db",
    ],
)  # fmt: skip
def test_what_is_no_database_url_is_refused_with_the_form_to_write(text):
    with pytest.raises(InvalidDatabase) as caught:
        urls.parse(text)
    assert caught.value.exit_code == 2
    assert caught.value.next_step
    assert "qqq" not in str(caught.value)


def test_without_a_database_the_error_names_every_way(monkeypatch):
    monkeypatch.delenv("DATABASE_URL", raising=False)
    with pytest.raises(NoDatabase) as caught:
        urls.from_environment()
    for way in ("as the argument", "DATABASE_URL", "embedded=True"):
        assert way in str(caught.value)


def test_the_migration_variable_comes_first(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://pooler/diwa")
    monkeypatch.setenv("DIWA_MIGRATION_DATABASE_URL", "postgresql://server/diwa")
    assert urls.from_environment() == "postgresql://server/diwa"


def test_an_empty_name_is_not_the_one_of_the_environment(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://server/diwa")
    with pytest.raises(InvalidDatabase):
        Target.of("")


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=4))
def test_no_password_is_shown(password):
    shown = urls.parse(f"postgresql://app:{quote(password, safe='')}@db/diwa").shown
    assert shown == "postgresql://app:***@db/diwa"
    assert urls.parse(f"postgresql://app@db/diwa?password={quote(password, safe='')}").shown == shown
    for said in (password, quote(password, safe="")):
        assert said == "***" or said not in mask(f"the server says <{said}> of it").replace("***", "")


def test_a_parameter_that_can_be_a_secret_is_not_shown():
    shown = urls.parse(
        "postgresql://app@db/diwa?sslpassword=hidden&oauth_client_secret=hidden&other=hidden"
    ).shown
    assert "hidden" not in shown
    assert "sslpassword=***" in shown


def asked(text: str) -> dict[str, str]:
    return dict(urls.parse(text).parameters)


def libpq(text: str) -> dict[str, str]:
    """Return what libpq reads; hosts without any port have a list of empty ones there."""
    found = conninfo_to_dict(text)
    return {name: str(value) for name, value in found.items() if name != "port" or str(value).strip(",")}


@pytest.mark.parametrize(
    ("text", "offered"),
    [
        ("sqlite:///app.db", "sqlite:///{folder}/app.db"),
        ("sqlite+aiosqlite:///a b/app%3F.db?timeout=5", "sqlite+aiosqlite:///{folder}/a b/app%3F.db"),
        ("sqlite:///../app.db", "sqlite:///{folder}/../app.db"),
        ("sqlite:///file:app.db?mode=ro&uri=true", "sqlite:///file:{folder}/app.db?mode=ro&uri=true"),
        ("sqlite:////srv/app.db", "sqlite:////srv/app.db"),
        ("sqlite://", "sqlite://"),
        ("sqlite:///file:x?mode=memory&uri=true", "sqlite:///file:x?mode=memory&uri=true"),
        ("postgresql://db/diwa", "postgresql://db/diwa"),
    ],
)
def test_a_printed_command_names_the_same_file_in_every_directory(tmp_path, monkeypatch, text, offered):
    monkeypatch.chdir(tmp_path)
    read = urls.parse(text)
    expected = offered.format(folder=tmp_path)
    assert shlex.split(read.options()) == ["--url", expected]
    monkeypatch.chdir("/")
    assert urls.parse(expected).file == read.file


def test_a_printed_command_runs_in_another_directory(owner_directory, monkeypatch, cli):
    for named in (("--url", "sqlite:///app.db"), ("--embedded", "app.db")):
        said = cli("status", *named, check=1).stdout
        (command,) = re.findall(r"^next +diwa-schema (.*)$", said, re.MULTILINE)
        cli(*shlex.split(command), cwd=owner_directory.parent, env={"DIWA_REPO": "diwa-cloud"}, check=0)
        assert (owner_directory / "app.db").stat().st_size
        (owner_directory / "app.db").unlink()
