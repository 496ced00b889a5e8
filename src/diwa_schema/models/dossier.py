"""The description of a column beyond its type, as options of its declaration.

The text becomes the `doc` and the comment of the column; `steps.describe` writes the comment into PostgreSQL.
Structured facts go into `info`, where the exports read them. Facts that can be derived are not repeated here: the
annotation has the words of a value set, and the history has the revision.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from sqlalchemy import MetaData

Writer = Literal["agent", "cloud", "database", "unknown"]
"""Who fills a column: diwa-agent, diwa-cloud, the database itself, or no program that is known.

The code of diwa-cloud is not public: ``cloud`` says that the column belongs to its features and diwa-agent leaves it.
"""

Privacy = Literal["none", "person", "content", "secret"]
"""What a column says about people.

``none``: nothing. ``person``: it names or identifies a person. ``content``: it holds what people write, which may be
personal or health data. ``secret``: it lets its holder in, and belongs in no log.
"""

INVENTED: Final = "Older rows may hold a default that no writer gave."
"""What the comment of a column says whose default claims a fact."""

KEY: Final = "diwa_schema"
"""Where in `info` the facts are."""


def described(
    doc: str,
    *,
    unit: str | None = None,
    values: tuple[str, ...] = (),
    writer: Writer | None = None,
    privacy: Privacy = "none",
    many: bool = False,
    invented: bool = False,
) -> dict[str, Any]:
    """Return the options of a column that describe it.

    Args:
        doc: Its meaning, in one or two sentences.
        unit: The unit of its number, with the range if there is one.
        values: Known values of a plain text column. The list is open; a closed list is the column's annotation.
        writer: The writer of the column; by default the writer of the table.
        privacy: The kind of personal data in the column.
        many: Whether its document is a list by convention, otherwise an object.
        invented: Whether the default gave rows that are older than the column a value that nobody stated. These rows
            stay as they are, because nobody knows which of them are right.
    """
    facts = {
        "unit": unit,
        "values": values,
        "writer": writer,
        "privacy": privacy,
        "many": many,
        "invented": invented,
    }
    return {**documented(doc, unit, invented=invented), "info": {KEY: facts}}


def documented(doc: str, unit: str | None = None, *, invented: bool = False) -> dict[str, Any]:
    """Return the options of a column that needs no description beyond its meaning.

    Args:
        doc: Its meaning.
        unit: The unit of its number.
        invented: Whether its values may be such a default.
    """
    parts = [doc, *([f"Unit: {unit}."] if unit else []), *([INVENTED] if invented else [])]
    return {"doc": doc, "comment": " ".join(parts)}


def undescribed(metadata: MetaData) -> list[str]:
    """Return the columns that lack a description, or whose description is no sentence."""
    return [
        str(column)
        for table in metadata.sorted_tables
        for column in table.columns
        if not re.fullmatch(r"[A-Z].{10,}\.", column.doc or "")
    ]


def unwritten(metadata: MetaData) -> list[str]:
    """Return the tables that name no writer."""
    return [table.name for table in metadata.sorted_tables if KEY not in table.info]


def written_by(writer: Writer) -> dict[str, Any]:
    """Return the options of a table that name its writer."""
    return {"info": {KEY: {"writer": writer}}}
