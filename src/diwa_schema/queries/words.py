"""Looking for words in the content of memories: PostgreSQL keeps them in a column, SQLite in tables of its own."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from sqlalchemy import Column, Float, String, TableValuedAlias, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from diwa_schema.models import Memory
from diwa_schema.models.searched import KEYS, WORDS
from diwa_schema.names import quoted


class _Hits(FunctionElement[Any]):
    """The memories in which all words occur, each with how well it fits: rows to be joined."""

    inherit_cache = True


def hits(context: UUID, words: str) -> TableValuedAlias:
    """Return the memories in which all words occur, as rows with ``id`` and ``fit``, to be joined with the memories.

    What a person types is never an error. On PostgreSQL it is read as people write to a search engine; on SQLite each
    word is a word, whatever signs are in it.

    Args:
        context: The context, of which SQLite without FTS5 reads the memories.
        words: The words.
    """
    words = words.replace("\0", " ")  # neither database takes a text with it
    each = list(dict.fromkeys(word.lower() for word in words.split()))
    # Between quotes nothing has a meaning to FTS5. It passes over a word without letters and digits, as PostgreSQL
    # does; where all are such, or there are none, nothing is found. A word that is said twice costs four times as much.
    phrases = " ".join(map(quoted, each)) or quoted("")
    listed = json.dumps(each)
    found = _Hits(
        Memory.id,
        Memory.tsv_content,
        literal(words, String()),
        literal(phrases, String()),
        literal(listed, String()),
        literal(context, Memory.context_id.type),
    )
    return found.table_valued(Column("id", Memory.id.type), Column("fit", Float()))


@compiles(_Hits)
def _hits(element: _Hits, compiler: Any, **options: Any) -> str:
    # It reads nothing itself, so that PostgreSQL makes of it what it says about the memory.
    # Only what is written down: a parameter that is processed and stands nowhere is one whose type no server can tell.
    key, kept, words = (compiler.process(one, **options) for one in [*element.clauses][:3])
    asked = f"websearch_to_tsquery('pg_catalog.english', {words})"
    return f"LATERAL (SELECT {key} AS id, ts_rank({kept}, {asked}) AS fit WHERE {kept} @@ {asked})"


@compiles(_Hits, "sqlite")
def _hits_in_the_index(element: _Hits, compiler: Any, **options: Any) -> str:
    phrases, listed, context = (compiler.process(one, **options) for one in [*element.clauses][3:])
    return (
        f"(SELECT k.memory_id AS id, -w.rank AS fit FROM {WORDS} AS w JOIN {KEYS} AS k ON k.n = w.rowid"
        f" WHERE w.{WORDS} = {phrases}"
        # Without keys there is no index: this SQLite had no FTS5.
        f" UNION ALL SELECT m.id, 0.0 FROM memories AS m WHERE NOT EXISTS (SELECT 1 FROM {KEYS})"
        f" AND m.context_id = {context} AND {listed} <> '[]'"
        f" AND NOT EXISTS (SELECT 1 FROM json_each({listed}) AS said WHERE instr(lower(m.content), said.value) = 0))"
    )
