"""Completion as a shell asks for it: the words of the parser, and values that the package knows without a database."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from diwa_schema.cli import main
from diwa_schema.cli.completion import _VALUES, SHELLS
from diwa_schema.cli.parser import build_parser
from diwa_schema.export import FORMATS
from diwa_schema.guard import Operation
from diwa_schema.migrations.manifest import load
from tests.cli.test_help import parsers
from tests.fixtures_checkout import TIMEOUT, run

argcomplete = pytest.importorskip("argcomplete")

IDS = load().ids
# Nobody listens there, and a database that is asked would be seen in what is completed.
NOWHERE = "postgresql://nobody@127.0.0.1:1/none"


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Ask the program as argcomplete's shell code does, and return what it wrote."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", NOWHERE)

    def ask(words: str, **variables: str) -> list[str]:
        line = f"diwa-schema {words}"
        answer = tmp_path / "answer"
        variables |= {
            "_ARGCOMPLETE": "1",
            "_ARGCOMPLETE_IFS": "\n",
            "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
            "COMP_LINE": line,
            "COMP_POINT": str(len(line)),
        }
        done = run([sys.executable, "-m", "diwa_schema"], env=variables, check=0)
        assert done.stdout == ""
        found = answer.read_text().splitlines()
        answer.unlink()
        return [word.strip() for word in found]

    return ask


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("downg", ["downgrade"]),
        ("fleet up", ["upgrade"]),
        ("fleet upgrade --wa", ["--waves"]),
        ("upgrade --lock-", ["--lock-budget", "--lock-wait"]),
        ("upgrade --lock-wait ", ["60"]),
        ("fleet adopt --max-stall ", ["100"]),
        (f"upgrade {IDS[3][:-1]}", [one for one in IDS if one.startswith(IDS[3][:-1])]),
        ("upgrade h", ["head"]),
        ("downgrade b", ["base"]),
        (f"fleet plan {IDS[-1][:-1]}", [one for one in IDS if one.startswith(IDS[-1][:-1])]),
        (f"prove {IDS[0]} {IDS[1][:-1]}", [one for one in IDS if one.startswith(IDS[1][:-1])]),
        ("upgrade --renew diwa_a", ["diwa_app"]),
        ("roles --reader ", ["diwa_reader"]),
        ("fleet create t --owner ", ["diwa_owner"]),
        ("upgrade --repo diwa-a", ["diwa-agent"]),
        ("guard --operation d", [one for one in Operation if one.startswith("d")]),
        ("export ", list(FORMATS)),
        ("upgrade --log-format ", ["text", "json"]),
        ("violations tasks_priority_c", ["tasks_priority_check"]),
        ("index enable memories_c", ["memories_content_trgm_idx"]),
        ("mix ecto.mig", ["ecto.migrate", "ecto.migrations"]),
        ("status --url post", ["postgresql://"]),
        ("upgrade --seen-within ", ["7d", "0"]),
        ("completion ", list(SHELLS)),
    ],
)
def test_words_and_values_are_completed(asked, words: str, found: list[str]) -> None:
    assert sorted(asked(words)) == sorted(found)
    assert found


def test_files_are_completed_where_a_file_is_wanted_and_nowhere_else(asked, tmp_path: Path) -> None:
    (tmp_path / "private.db").touch()
    assert asked("upgrade --embedded priv") == ["private.db"]
    assert asked("protect --reason priv") == []
    assert asked("upgrade priv") == []


def test_revisions_have_their_names_where_a_shell_shows_them(asked) -> None:
    found = dict(line.split("\t") for line in asked("downgrade ", _ARGCOMPLETE_DFS="\t"))
    assert {"-1", "base", *IDS} == set(found)
    assert found[IDS[0]] == load().get(IDS[0]).slug.replace("_", " ")


def test_every_value_that_is_known_belongs_to_an_argument() -> None:
    named = {
        (action.option_strings or [action.dest])[0]
        for parser in parsers(build_parser())
        for action in parser._actions
    }
    assert set(_VALUES) <= named


@pytest.mark.parametrize("words", ["upg", "upgrade 2025", "fleet upgrade --w"])
def test_an_answer_loads_no_library_but_argcomplete(asked, tmp_path: Path, words: str) -> None:
    done = run(
        [sys.executable, "-X", "importtime", "-m", "diwa_schema"],
        env={
            "_ARGCOMPLETE": "1",
            "_ARGCOMPLETE_STDOUT_FILENAME": str(tmp_path / "answer"),
            "COMP_LINE": f"diwa-schema {words}",
            "COMP_POINT": str(len(f"diwa-schema {words}")),
        },
        check=0,
    )
    found = {name.partition(".")[0] for name in re.findall(r"\| +([\w.]+)$", done.stderr, re.MULTILINE)}
    assert "argcomplete" in found
    assert not found & {"alembic", "psycopg", "rich", "sqlalchemy"}


def test_without_the_library_the_command_says_how_to_get_it(monkeypatch, capsys, sqlite: str) -> None:
    for name in ("argcomplete", "argcomplete.completers", "argcomplete.shell_integration"):
        monkeypatch.setitem(sys.modules, name, None)
    assert main(["completion", "bash"]) == 2
    assert "pip install 'diwa-schema[completion]'" in capsys.readouterr().err
    # A shell that asks gets nothing, and nothing is run.
    monkeypatch.setenv("_ARGCOMPLETE", "1")
    assert main(["upgrade", "--url", sqlite]) == 2
    assert capsys.readouterr() == ("", "")
    assert not Path(sqlite.removeprefix("sqlite:///")).exists()


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`diwa-schema` is on the path, run by the Python of these tests."""
    path = tmp_path / "bin" / "diwa-schema"
    path.parent.mkdir()
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m diwa_schema "$@"\n')
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}{os.environ['PATH']}")


def typed(shell: list[str], setting: str, *lines: str) -> list[str]:
    """Type lines into an interactive shell on a terminal and return the words that each of them has become.

    A word ends the setting; each line is then wrapped into a printf, so that the shell itself tells the words.
    """
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "dumb", "PS1": "", "HISTFILE": "/dev/null"}
    child = subprocess.Popen(
        shell, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
    )
    os.close(theirs)
    said = b""

    def until(pattern: bytes, keys: str) -> bytes:
        nonlocal said
        os.write(ours, keys.encode())
        begin = len(said)
        while not (found := re.search(pattern, said[begin:])):
            ready, _, _ = select.select([ours], [], [], TIMEOUT)
            assert ready, said.decode(errors="replace")
            said += os.read(ours, 4096)
        return found[0]

    try:
        until(rb"ready:2", f"{setting}; echo ready:$((1+1))\n")
        return [
            until(rb"<diwa-schema>(<[^>]*>)*<end>", f"{line}\x05 'end'\x01printf '<%s>' \x05\n")
            .decode()
            .removesuffix("<end>")
            for line in lines
        ]
    finally:
        child.kill()
        child.wait()
        os.close(ours)


def test_bash_completes_what_is_typed(program) -> None:
    source = "source <(diwa-schema completion bash)"
    found = typed(
        ["bash", "--norc", "--noprofile", "-i"],
        source,
        "diwa-schema downg\t",
        "diwa-schema fleet upg\t--wav\t",
        f"diwa-schema upgrade {IDS[-1][:-2]}\t",
        "diwa-schema completion \x1b*",  # readline inserts every completion
    )
    assert found == [
        "<diwa-schema><downgrade>",
        "<diwa-schema><fleet><upgrade><--waves>",
        f"<diwa-schema><upgrade><{IDS[-1]}>",
        "<diwa-schema><completion><bash><fish><zsh>",
    ]


@pytest.mark.skipif(shutil.which("zsh") is None, reason="needs zsh")
def test_zsh_completes_what_is_typed(program) -> None:
    source = "bindkey -e; autoload -Uz compinit; compinit -u -D; source <(diwa-schema completion zsh)"
    found = typed(["zsh", "-f", "-i"], source, "diwa-schema downg\t", f"diwa-schema upgrade {IDS[-1][:-2]}\t")
    assert found == ["<diwa-schema><downgrade>", f"<diwa-schema><upgrade><{IDS[-1]}>"]


@pytest.mark.skipif(shutil.which("fish") is None, reason="needs fish")
def test_fish_completes_with_what_each_word_means(program) -> None:
    code = "diwa-schema completion fish | source; complete --do-complete 'diwa-schema {}'"
    found = run(["fish", "--no-config", "-c", code.format("downg")], check=0).stdout
    assert found == "downgrade\treverse revisions (also: rollback)\n"
    found = run(["fish", "--no-config", "-c", code.format(f"upgrade {IDS[-1]}")], check=0).stdout
    assert found == f"{IDS[-1]}\t{load().get(IDS[-1]).slug.replace('_', ' ')}\n"
