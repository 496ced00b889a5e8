"""What docs/adoption.md shows is what a database of Ecto's gets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from diwa_schema.cli import main
from diwa_schema.database.target import Target
from diwa_schema.migrations.ecto import AGENT, AGENT_V1
from diwa_schema.migrations.manifest import load
from diwa_schema.run.adopt.variants import recognise
from tests.kit.facts import HISTORY
from tests.pages.reading import blocks, read

PAGE = read("adoption.md")
PLANNED, ADOPTED, GAP = blocks(PAGE, "text")
IDS = tuple(str(version) for version in HISTORY)


def plain(text: str, url: str) -> str:
    """Return a text without what differs from one machine or revision to the next."""
    for pattern, word in ((re.escape(url), "URL"), (load().head, "HEAD"), (r"\d+ revisions", "N revisions")):
        text = re.sub(pattern, word, text)
    return re.sub(r"[\d,]+ bytes", "N bytes", text)


def test_the_output_is_the_one_of_a_run(owner_directory: Path, legacy, capsys) -> None:
    url = legacy("agent_local")
    shown = "postgresql://owner@db/diwa"
    for words, told in ((["adopt", "--plan"], PLANNED), (["adopt"], ADOPTED)):
        assert main([*words, "--url", url]) == 0
        assert plain(capsys.readouterr().out, url) == plain(told, shown)


@pytest.mark.parametrize(
    ("versions", "name", "revision"),
    [
        (HISTORY, f"{len(HISTORY)} shared versions", IDS[-1]),
        ([*list(HISTORY)[:21], AGENT], "agent", IDS[20]),
        ([*HISTORY, AGENT], "agent, shared versions marked", IDS[-1]),
        (AGENT_V1, "agent v1", "20260107000000"),
        ([AGENT], "agent release on its own", None),
    ],
)
def test_the_table_names_every_variant(versions, name: str, revision: str | None) -> None:
    found = recognise(versions, IDS, "sqlite:///app.db", agents_buffer=AGENT in versions)
    assert (found.name, found.revision) == (name, revision)
    row = re.sub(r"^\d+", "N", name)
    (where,) = re.findall(rf"^\| `{row}` \| .*? \| (.*?) \|", PAGE, flags=re.MULTILINE)
    assert where == {"20260107000000": "20260107000000", None: "base"}.get(
        revision, "the last recorded version"
    )


def test_a_gap_is_refused_as_quoted(owner_directory: Path, legacy, capsys) -> None:
    url = legacy("head_fresh", lite=True, rows=False)
    with Target.of(url).connect() as link:
        link.execute("DELETE FROM schema_migrations WHERE version = 20260228000500")
    assert main(["adopt", "--plan", "--url", url]) == 7
    told = capsys.readouterr().err
    assert told.replace(url, "sqlite:///app.db").startswith(GAP.strip())
