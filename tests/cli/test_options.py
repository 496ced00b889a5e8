"""What is typed is taken as it is: no option is guessed, no bound is lost, and the next step goes to the same database."""

from __future__ import annotations

import math
import re
from functools import partial

import pytest
from hypothesis import given, strategies as st

from diwa_schema.cli.parser import build_parser
from diwa_schema.database.lock import acquire
from diwa_schema.database.target import Target
from diwa_schema.errors import UsageError
from diwa_schema.run.pace import Pace, Patience, _calls
from diwa_schema.run.settings import Settings, Silence, bounds

pytestmark = pytest.mark.usefixtures("owner_directory")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["upgrade", "--all"], "upgrade goes to head by default"),
        (["upgrade", "-n", "3"], "Write +N"),
        (["upgrade", "--to=20250101000000"], "upgrade REVISION"),
        (["upgrade", "--allow"], "--allow"),
        (["status", "--js"], "--js"),
        (["drop", "--c", "diwa"], "--c"),
        (["upgrade", "--embedded", "head"], "is a revision"),
        (["upgrade", "--embedded", "20251226"], "is a revision"),
        (["upgrade", "--url", ""], "--url: The database URL is empty"),
    ],
)
def test_no_option_is_guessed(cli, tmp_path, words, said):
    done = cli(
        *words, env={"DATABASE_URL": f"sqlite:///{tmp_path}/of-the-environment.db"}, cwd=tmp_path, check=2
    )
    assert said in done.stderr
    assert not list(tmp_path.glob("*.db")) + list(tmp_path.glob("head"))


def test_no_parser_takes_the_beginning_of_an_option():
    parser = build_parser()
    (commands,) = (action.choices for action in parser._actions if action.choices)
    assert not any(one.allow_abbrev for one in (parser, *dict(commands).values()))


def test_the_next_step_names_the_database_that_was_named(cli, tmp_path):
    other = {"DATABASE_URL": f"sqlite:///{tmp_path}/other.db"}
    url = f"sqlite:///{tmp_path}/it's.db"
    done = cli("upgrade", "20990101", "--url", url, env=other, check=2)
    assert f"diwa-schema history --url 'sqlite:///{tmp_path}/it'\"'\"'s.db'" in done.stderr
    done = cli("downgrade", "20990101", "--embedded", "my own.db", env=other, check=2)
    assert re.search("diwa-schema history --embedded '/.*/my own.db'", done.stderr)
    done = cli("plan", "20990101", env={"DATABASE_URL": "sqlite://"}, check=2)
    assert done.stderr.rstrip().endswith("diwa-schema history")


def test_an_embedded_path_keeps_every_sign(cli, tmp_path):
    for name in ("50%25.db", "what?.db", "a#b.db", "mode=memory&x"):
        cli("upgrade", "--embedded", name, cwd=tmp_path, check=0)
        assert (tmp_path / name).is_file()
    assert len(list(tmp_path.glob("*.db")) + list(tmp_path.glob("mode*"))) == 4


@pytest.mark.parametrize("bound", bounds(), ids=lambda bound: bound.name)
@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, -1, 1e300, 2**31, "soon", None, True, 10**400]
)
def test_a_number_that_bounds_nothing_is_refused_by_the_api_too(bound, value):
    with pytest.raises(UsageError) as caught:
        Settings(**{bound.name: value})
    assert caught.value.exit_code == 2
    assert bound.name in str(caught.value)


@given(st.floats(min_value=0, exclude_min=True, max_value=2_000_000))
def test_no_bound_becomes_none(value):
    for bound in bounds():
        kept = getattr(Settings(**{bound.name: value}), bound.name)
        whole = kept * (1000 if bound.unit == "s" else 1)
        assert whole >= 1
        assert abs(whole - round(whole)) < 1e-6
        assert kept >= value or math.isclose(kept, value, rel_tol=1e-6)


def test_only_what_does_not_wait_may_be_nothing():
    assert [bound.name for bound in bounds() if bound.zero] == ["lock_wait"]
    assert Settings(lock_wait=0).lock_wait == 0
    with pytest.raises(UsageError):
        Settings(max_stall=0)


@given(st.floats(min_value=0, exclude_min=True, max_value=1e6))
def test_no_timeout_is_written_as_none(milliseconds):
    (call,) = _calls({"lock_timeout": milliseconds}, local=True)
    assert "'0ms'" not in call


def test_the_help_says_what_the_settings_say(cli):
    said = " ".join(cli("upgrade", "--help", check=0).stdout.split())
    for bound in bounds():
        assert f"{bound.help} ({bound.default:g})" in said


def test_a_stall_of_a_millisecond_is_one(postgres):
    """A lock_timeout of 0 would wait for ever."""
    target = Target.of(postgres)
    settings = Settings(max_stall=0.3, strong_timeout=0.0001)
    with target.connect() as link:
        held = acquire(target, "public", 0, print)
        pace = Pace(target, link, None, held, "public", settings, Silence(), Patience(link))

        def shown(name: str, _: object) -> str:
            return str(link.value(f"SHOW {name}"))

        for name in ("lock_timeout", "statement_timeout"):
            assert pace.short(partial(shown, name)) == "1ms"
        held.release()
