"""Whether what a command prints with `--json` is what the reference of the site says of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import pytest

from website.documents import DOCUMENTS, ERROR

ALIASES = {"rollback": "downgrade"}


def judged(words: Sequence[str], printed: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the documents that a command printed, each with the title of the one that it is in the reference.

    Args:
        words: The command and its arguments.
        printed: What it wrote to stdout; nothing where a signal ended it.
    """
    command = f"fleet {words[1]}" if words[0] == "fleet" else ALIASES.get(words[0], words[0])
    return [(_title(command, document), document) for document in _read(printed.strip())]


def _read(printed: str) -> Iterator[dict[str, Any]]:
    """Yield the documents: one over many lines, or those of a fleet, a line each."""
    decoder = json.JSONDecoder()
    while printed:
        document, end = decoder.raw_decode(printed)
        yield document
        printed = printed[end:].lstrip()


def _title(command: str, document: dict[str, Any]) -> str:
    known = {"error": ERROR} | {one.title: one.schema for one in DOCUMENTS.get(command, ())}
    # A target of a fleet has an error as a property, and its value may be null.
    looked_at = ["error"] if document.get("what") and "next_step" in document else list(known)[1:]
    failures = {title: list(_validator(command, title).iter_errors(document)) for title in looked_at}
    fitting = [title for title, found in failures.items() if not found]
    assert len(fitting) == 1, (
        "\n".join(
            f"{title}: {error.json_path}: {error.message[:500]}"
            for title, found in failures.items()
            for error in found
        )
        or f"{command} prints what several documents may be: {fitting}"
    )
    return fitting[0]


@cache
def _validator(command: str, title: str) -> Any:
    jsonschema = pytest.importorskip("jsonschema", reason="the dependency group `test` has it")
    schema = (
        ERROR if title == "error" else next(one.schema for one in DOCUMENTS[command] if one.title == title)
    )
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)
