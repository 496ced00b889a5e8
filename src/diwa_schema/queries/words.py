"""Looking for words in the content of memories: PostgreSQL keeps them apart, SQLite has the text."""

from __future__ import annotations

import json
from typing import Any, Self

from sqlalchemy import Boolean, Float, String, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from diwa_schema.models import Memory

_ASKED = "websearch_to_tsquery('pg_catalog.english', {})"


class _OfWords:
    """What is said of the words that are asked for."""

    @classmethod
    def of(cls, words: str) -> Self:
        """Return it for words as a person types them."""
        words = words.replace("\0", " ")  # PostgreSQL takes no text with it
        listed = json.dumps([word.lower() for word in words.split()])
        return cls(Memory.tsv_content, Memory.content, literal(words, String()), literal(listed, String()))  # type: ignore[call-arg]


class Says(_OfWords, FunctionElement[bool]):
    """Whether all words occur in a memory."""

    type = Boolean()
    inherit_cache = True


class Fit(_OfWords, FunctionElement[float]):
    """How well a memory fits the words; SQLite cannot tell."""

    type = Float()
    inherit_cache = True


@compiles(Says)
def _says(element: Says, compiler: Any, **options: Any) -> str:
    kept, _, words, _ = element.clauses
    return f"({compiler.process(kept, **options)} @@ {_ASKED.format(compiler.process(words, **options))})"


@compiles(Says, "sqlite")
def _says_in_the_text(element: Says, compiler: Any, **options: Any) -> str:
    _, content, _, listed = element.clauses
    # No words find nothing, as on PostgreSQL.
    return (
        f"({compiler.process(listed, **options)} <> '[]'"
        f" AND NOT EXISTS (SELECT 1 FROM json_each({compiler.process(listed, **options)}) AS wanted"
        f" WHERE instr(lower({compiler.process(content, **options)}), wanted.value) = 0))"
    )


@compiles(Fit)
def _fit(element: Fit, compiler: Any, **options: Any) -> str:
    kept, _, words, _ = element.clauses
    return (
        f"ts_rank({compiler.process(kept, **options)}, {_ASKED.format(compiler.process(words, **options))})"
    )


@compiles(Fit, "sqlite")
def _no_fit(*_: Any, **__: Any) -> str:
    return "(0.0)"
