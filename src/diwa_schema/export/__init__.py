"""The schema at head in other languages: words, pictures, types. No database is needed.

Every exporter is one module with a function `export`, which returns the text of its files by name. All of them write
down what `description` and `history` say.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final, cast

FORMATS: Final = {
    "dictionary": "dictionary",
    "mermaid": "mermaid",
    "history": "timeline",
    "dbml": "dbml",
    "json-schema": "json_schema",
    "pydantic": "pydantic",
    "typescript": "typescript",
    "ecto": "ecto",
}
"""The formats, each with the module that writes it."""


def export(form: str, **options: Any) -> dict[str, str]:
    """Return the files of a format: their text, by their name below the folder they belong in.

    Args:
        form: One of `FORMATS`.
        options: What the format can be told; only ``ecto`` can: ``embedding`` and ``namespace``.
    """
    return cast("dict[str, str]", import_module(f"{__name__}.{FORMATS[form]}").export(**options))
