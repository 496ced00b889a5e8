"""`--log-format json`: the output for people on stderr, as one JSON document per line."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from datetime import UTC, datetime
from typing import Any

LOGGER = logging.getLogger("diwa_schema")


class JsonLine(logging.Formatter):
    """A record as one line: time in UTC, level, message and facts."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        facts: dict[str, Any] = getattr(record, "diwa", {})
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        document = {"time": at, "level": record.levelname.lower(), "message": record.getMessage(), **facts}
        return json.dumps(document, default=str)


class _Lines(logging.StreamHandler[Any]):
    """A stream that may be closed or full: a run continues even if nobody can read its output."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is logging's
        """Say nothing."""


class _Words(io.TextIOBase):
    """Plain text of the block, such as the notice about a bypass, as records."""

    def write(self, text: str) -> int:
        """Log each line as a warning."""
        for line in text.splitlines():
            LOGGER.warning("%s", line, extra={"diwa": {"event": "notice"}})
        return len(text)


@contextmanager
def json_lines() -> Iterator[None]:
    """Print the records of the block on stderr."""
    handler = _Lines(sys.stderr)
    handler.setFormatter(JsonLine())
    level = LOGGER.level
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    try:
        with redirect_stderr(_Words()):
            yield
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.setLevel(level)


def print_error(facts: dict[str, Any]) -> None:
    """Print the error of a command."""
    with json_lines():
        LOGGER.error("%s", facts["what"], extra={"diwa": {"event": "failed", **facts}})
