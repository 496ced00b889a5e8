"""The schema at head in other formats: text, diagrams and types; no database is needed.

Every exporter is one module with a function `export`, which returns the text of its files by name. All exporters use
the data of `description` and `history`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final, cast

FORMATS: Final = {
    "dictionary": "dictionary",
    "mermaid": "mermaid",
    "svg": "svg",
    "history": "timeline",
    "dbml": "dbml",
    "json-schema": "json_schema",
    "pydantic": "pydantic",
    "typescript": "typescript",
    "ecto": "ecto",
}
"""The formats, each with the module that writes it."""


def export(form: str, **options: Any) -> dict[str, str]:
    """Return the files of a format: their texts by relative path.

    Args:
        form: One of `FORMATS`.
        options: The options of the format; only ``ecto`` has any: ``embedding`` and ``namespace``.
    """
    return cast("dict[str, str]", import_module(f"{__name__}.{FORMATS[form]}").export(**options))
