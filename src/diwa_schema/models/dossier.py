"""What is known about a column beyond its type, as options of its declaration.

The text goes into `doc` of the column, and into its comment, which PostgreSQL keeps: `steps.describe` writes it there.
What does not fit into a sentence goes into `info`, where the exports find it.
What can be derived is not said here: the words of a value set from the annotation, the revision from the history.
"""

from __future__ import annotations

from typing import Any, Final, Literal

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
        unit: What its number counts, with the range where there is one.
        values: Words that are known to stand in a column of plain text. The list is open; a closed one is the
            column's annotation.
        writer: Who fills it; by default who fills the table.
        privacy: What it says about people.
        many: Whether its document is a list by use; an object otherwise.
        invented: Whether its default is a fact that nobody told of the rows which were there before the column. They
            stay as they are: which of them are right, nobody knows.
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
    """Return the options of a column that has nothing to say but its meaning.

    Args:
        doc: Its meaning.
        unit: What its number counts.
        invented: Whether its values may be such a default.
    """
    parts = [doc, *([f"Unit: {unit}."] if unit else []), *([INVENTED] if invented else [])]
    return {"doc": doc, "comment": " ".join(parts)}


def written_by(writer: Writer) -> dict[str, Any]:
    """Return the options of a table that say who fills it."""
    return {"info": {KEY: {"writer": writer}}}
