"""Column types that work on PostgreSQL and on SQLite, and read what Ecto wrote on either.

Every difference between the two databases that concerns a single value is handled in this package, so that models and
revisions do not depend on the database.
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
