"""docs/messages.md shows every error as a run prints it; DIWA_WRITE_PAGES=1 writes the page anew."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from diwa_schema.errors import DiwaSchemaError
from tests.pages.reading import DOCS
from tests.pages.scenes import SCENES, SERVER_SCENES, UNSTAGED
from tests.pages.stage import Stage
from website.messages import classes, messages

PAGE = DOCS / "messages.md"
INTRODUCTION = """\
# Errors as they are printed

Each error says what happened, what was left untouched, and what to do next. A test makes each error in a real run and compares
the output with this page. `app.db`, `db` and `owner` stand for your database, `HEAD` for the last revision of the package.

[Every message](reference/messages.md) lists the messages of the source. [Exit codes](reference/exit-codes.md) explains the
codes.
"""


def test_every_error_has_a_scene_or_a_reason() -> None:
    staged = [*SCENES, *SERVER_SCENES, *UNSTAGED]
    assert sorted(staged) == sorted(classes())


def test_the_page_shows_what_is_printed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    head_file: Path,
    head_template: str,
    new_database: Callable[..., str],
) -> None:
    stage = Stage(tmp_path, monkeypatch, head_file)
    url = new_database(head_template)
    stage.places = {url: "postgresql://owner@db/diwa", url.rpartition("/")[2]: "diwa"}
    said = {name: [scene(stage) for scene in scenes] for name, scenes in SCENES.items()}
    said |= {name: [scene(stage, url)] for name, scene in SERVER_SCENES.items()}
    text = "\n".join(_page(said))
    if os.environ.get("DIWA_WRITE_PAGES"):
        PAGE.write_text(text, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == text


def _page(said: dict[str, list[str]]) -> Iterator[str]:
    yield INTRODUCTION
    for name, error in classes().items():
        yield f"## {name}\n\nExit code {error.exit_code}. {_first_line(error)}\n"
        if name in said:
            for text in said[name]:
                assert name in text or f"[exit code {error.exit_code}]" in text, text
                yield f"```text\n{text}\n```\n"
        else:
            yield f"{UNSTAGED[name]} From the source:\n"
            for one in _messages(name):
                yield f"```text\n{one}\n```\n"


def _first_line(error: type[DiwaSchemaError]) -> str:
    return (inspect.getdoc(error) or "").partition("\n")[0]


def _messages(name: str) -> Iterator[str]:
    for one in messages():
        if one.error == name:
            yield "\n".join(filter(None, (one.what, one.next_step)))
