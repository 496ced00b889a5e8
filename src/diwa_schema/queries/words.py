"""Word search in the content of memories: PostgreSQL keeps the words in a column, SQLite in separate tables."""

from __future__ import annotations

import json
import re
from typing import Any
from uuid import UUID

from sqlalchemy import Column, Float, String, TableValuedAlias, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from diwa_schema.models import Memory
from diwa_schema.models.searched import KEYS, WORDS
from diwa_schema.names import quoted

_UNSENDABLE = re.compile("[\0\ud800-\udfff]")  # no text of either database contains these


class _Hits(FunctionElement[Any]):
    """The memories that contain all words, each with its rank: rows to join."""

    inherit_cache = True


def hits(context: UUID, words: str) -> TableValuedAlias:
    """Return the memories that contain all words, as rows with ``id`` and ``fit``, to join with the memories.

    No input is an error. PostgreSQL interprets it as a search engine does; on SQLite each word counts literally, with
    all its characters.

    Args:
        context: The context; SQLite without FTS5 reads its memories.
        words: The words.
    """
    words = _UNSENDABLE.sub(" ", words)
    # The database itself ignores the case of both sides: Python's lower() also changes letters that SQLite leaves.
    each = list(dict.fromkeys(words.split()))
    # FTS5 interprets nothing between quotes. Like PostgreSQL, it ignores a word without letters and digits; if no other
    # words remain, the query finds nothing. A repeated word costs four times as much.
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
    # It reads nothing itself, so PostgreSQL evaluates it for the joined memory. Only the needed parameters are
    # processed: a server cannot infer the type of a parameter that appears nowhere in the statement.
    key, kept, words = (compiler.process(one, **options) for one in [*element.clauses][:3])
    asked = f"websearch_to_tsquery('pg_catalog.english', {words})"
    return f"LATERAL (SELECT {key} AS id, ts_rank({kept}, {asked}) AS fit WHERE {kept} @@ {asked})"


@compiles(_Hits, "sqlite")
def _hits_in_the_index(element: _Hits, compiler: Any, **options: Any) -> str:
    phrases, listed, context = (compiler.process(one, **options) for one in [*element.clauses][3:])
    return (
        f"(SELECT k.memory_id AS id, -w.rank AS fit FROM {WORDS} AS w JOIN {KEYS} AS k ON k.n = w.rowid"
        f" WHERE w.{WORDS} = {phrases}"
        # No keys means no index: this SQLite had no FTS5.
        f" UNION ALL SELECT m.id, 0.0 FROM memories AS m WHERE NOT EXISTS (SELECT 1 FROM {KEYS})"
        f" AND m.context_id = {context} AND {listed} <> '[]'"
        f" AND NOT EXISTS (SELECT 1 FROM json_each({listed}) AS said"
        " WHERE instr(lower(m.content), lower(said.value)) = 0))"
    )
