"""What goes in and out: the columns that a client may write, and those that it is shown."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat


def _storable(value: Any) -> Any:
    """Refuse what JSON can carry and PostgreSQL cannot: NUL, half a character, NaN."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, allow_nan=False)
    text.encode()
    if "\0" in text or "\\u0000" in text:
        raise ValueError("a text holds no NUL")
    return value


Text = Annotated[str, AfterValidator(_storable)]
Line = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_storable)]
Document = Annotated[dict[str, Any], AfterValidator(_storable)]
Numbers = Annotated[list[FiniteFloat], Field(min_length=1536, max_length=1536)]


class NewContext(BaseModel):
    """A context to be made; the organization is made with it where its slug is new."""

    organization: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,255}$")]
    name: Line
    description: Text | None = None


class ShownContext(BaseModel):
    """A context."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    organization_id: UUID
    name: str
    description: str | None


class NewMemory(BaseModel):
    """A memory to be added."""

    content: Annotated[Text, Field(min_length=1)]
    tags: list[Line] = []
    metadata: Document = {}
    actor: Line | None = None
    embedding: Numbers | None = None


class Change(BaseModel):
    """What is to be changed of a memory; the rest stays as it is."""

    content: Annotated[Text, Field(min_length=1)] | None = None
    tags: list[Line] | None = None
    metadata: Document | None = None
    embedding: Numbers | None = None
    actor: Line | None = None
    reason: Text | None = None


class ShownMemory(BaseModel):
    """A memory; its place in the space of embeddings is not shown."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    context_id: UUID
    content: str
    tags: list[str] | None
    metadata: Any = Field(validation_alias="metadata_")
    actor: str | None
    inserted_at: datetime
    deleted_at: datetime | None


class Page(BaseModel):
    """Some memories, and the id to go on from."""

    memories: list[ShownMemory]
    before: UUID | None


class Place(BaseModel):
    """Where to look for neighbours."""

    embedding: Numbers
    limit: Annotated[int, Field(ge=1, le=100)] = 10


class ShownVersion(BaseModel):
    """The state of a memory after one change."""

    model_config = ConfigDict(from_attributes=True)

    version_number: int | None
    operation: str
    content: str
    tags: list[str] | None
    metadata: Any = Field(validation_alias="metadata_")
    actor: str | None
    reason: str | None
    inserted_at: datetime
