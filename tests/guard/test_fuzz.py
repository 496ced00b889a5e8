"""Whatever files, environment and arguments hold: the guard stays shut for a consumer, and answers with its own error."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings, strategies as st

from diwa_schema.errors import Blocked
from diwa_schema.guard import Operation, Role, ask, collect, judge, weigh
from diwa_schema.guard.evidence import name_of

TEMPTING = (
    "[project]\n", 'name = "diwa-cloud"\n', "[tool.diwa-schema]\n", 'repo = "diwa-cloud"\n', "tool = 1\n", "x = [\n",
    "def project do\n", "app: :diwa_cloud,\n", "@app :diwa_cloud\n", "app: @app\n", '"""\n', "# ", "app: name()\n",
    '[remote "origin"]\n', "[remote.origin] ", "[core]\n", "url = a/diwa-cloud\n", "\turl = a/diwa-agent\n", "url\n",
    "[include]\npath = nowhere\n", "\\\n", '"', ";", "\r\n", "\x0c", "\x0b", "\u2028", "\ufeff", "diwa-cloud", " ",
    "gitdir: .\n", "\x00", "%", "[a.b]\n", "\\x\n", 'k = "a \\\n b"\n',
)  # fmt: skip
contents = st.one_of(
    st.binary(max_size=80),
    st.lists(st.sampled_from(TEMPTING), max_size=8).map(lambda parts: "".join(parts).encode()),
)
words = st.one_of(
    st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=30),
    st.sampled_from(
        ["diwa-cloud", "acme/diwa_cloud.git", "https://joe:x@h/diwa-schema", "", "/", "%2F", "#"]
    ),
)
SAYING = {
    "pyproject.toml": '[project]\nname = "diwa-agent"\n',
    "mix.exs": "\ndef project do\n  [app: :diwa_agent]\nend\n",
    ".git/config": '\n[remote "origin"]\n\turl = git@host:acme/diwa-agent.git\n',
    "repo": "diwa-agent",
    "DIWA_REPO": "Diwa_Agent",
}


def lay_out(place: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_bytes(content)


@settings(max_examples=150, deadline=None)
@given(
    operation=st.sampled_from(Operation),
    says=st.sampled_from(sorted(SAYING)),
    noise=st.fixed_dictionaries(dict.fromkeys(("pyproject.toml", "mix.exs", ".git/config"), contents)),
    texts=st.fixed_dictionaries(dict.fromkeys(("repo", "DIWA_REPO", "GIT_DIR", "HOME"), words)),
    bypass=words.filter(lambda word: word not in {"true", "1"}),
)
def test_nothing_opens_it_for_a_directory_that_says_agent(operation, says, noise, texts, bypass):
    files = dict(noise)
    if says in files:
        # A project's table cannot begin twice, so what it says stands first; the other two may come after anything.
        after = says == "pyproject.toml"
        files[says] = SAYING[says].encode() + noise[says] if after else noise[says] + SAYING[says].encode()
    else:
        texts = texts | {says: SAYING[says]}
    exported = {name: texts[name] for name in texts if name != "repo"} | {"ALLOW_CORE_MIGRATION": bypass}
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, exported):
        lay_out(Path(folder), files)
        with pytest.raises(Blocked) as blocked:
            ask(operation, repo=texts["repo"], directory=Path(folder))
        assert "connected to nothing" in str(blocked.value)
        str(blocked.value).encode(errors="strict")


@settings(max_examples=100, deadline=None)
@given(
    repo=st.one_of(st.none(), words, st.integers(), st.binary(), st.lists(words, max_size=1)),
    directory=st.one_of(st.none(), st.text(max_size=20).map(Path)),
    allow=st.one_of(st.none(), st.booleans(), words, st.integers()),
)
def test_no_argument_makes_it_fail(repo, directory, allow):
    verdict = judge(Operation.UPGRADE, repo=repo, directory=directory, allow_core_migration=allow)
    assert verdict.allowed in {True, False}
    verdict.as_dict()


@settings(max_examples=150, deadline=None)
@given(
    parts=st.lists(
        st.sampled_from([*TEMPTING, "# a \\\n", "x = y # z \\\n", '[remote "origin"]url=a/diwa-agent\n']),
        max_size=8,
    )
)
def test_what_git_reads_of_its_configuration_is_not_missed(parts):
    text = "".join(parts).replace("[include]", "[exclude]")
    with tempfile.TemporaryDirectory() as folder:
        lay_out(Path(folder), {".git/config": text.encode()})
        answer = subprocess.run(
            ["git", "config", "-z", "-f", ".git/config", "--get-all", "remote.origin.url"],
            cwd=folder, capture_output=True, check=False,
        )  # fmt: skip
        named = {name_of(url) for url in answer.stdout.decode().split("\0") if answer.returncode == 0}
        role = weigh(collect("diwa-cloud", Path(folder)))
        if "diwa-agent" in named:
            assert role in {Role.CONSUMER, Role.UNKNOWN}
        if answer.returncode > 1:
            # A configuration that git refuses might name a consumer after the place where it stops.
            assert role is not Role.OWNER
