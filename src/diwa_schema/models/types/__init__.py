"""Column types that hold on PostgreSQL and on SQLite alike, and read what Ecto wrote on either.

Every difference between the two databases that concerns one value lives in this room, so that neither
models nor revisions ask which database they are on.
"""

from __future__ import annotations

from diwa_schema.models.types.documents import Document, TextArray
from diwa_schema.models.types.embeddings import Embedding, EmbeddingValue, RawEmbedding
from diwa_schema.models.types.scalars import (
    Bytes,
    Cost,
    Count,
    Flag,
    LongText,
    LooseId,
    Real,
    SearchVector,
    ServerDefault,
    ShortText,
    UniqueId,
)
from diwa_schema.models.types.times import Timestamp

__all__ = [
    "Bytes",
    "Cost",
    "Count",
    "Document",
    "Embedding",
    "EmbeddingValue",
    "Flag",
    "LongText",
    "LooseId",
    "RawEmbedding",
    "Real",
    "SearchVector",
    "ServerDefault",
    "ShortText",
    "TextArray",
    "Timestamp",
    "UniqueId",
]
