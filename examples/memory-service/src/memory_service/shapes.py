"""The bodies of requests and answers: the columns that a client may write, and those that it may read."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, model_validator


def _storable(text: str) -> str:
    """Refuse texts that JSON can contain and PostgreSQL cannot: NUL, half a character."""
    text.encode()
    if "\0" in text:
        raise ValueError("a text cannot contain NUL")
    return text


def _answerable(document: dict[str, Any]) -> dict[str, Any]:
    """Refuse a document that no answer could contain; the models refuse the values that a database would not keep."""
    level: list[Any] = [document]
    for _ in range(_DEEPEST):
        inside = (
            one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list)
        )
        if not (level := [held for parts in inside for held in parts]):
            return document
    raise ValueError(f"a document has at most {_DEEPEST} levels")


_DEEPEST = 100  # Pydantic writes about 250
Text = Annotated[str, AfterValidator(_storable)]
Line = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_storable)]
Document = Annotated[dict[str, Any], AfterValidator(_answerable)]
_LARGEST = 3.4028235e38  # of the numbers of a vector, which have four bytes
Numbers = Annotated[
    list[Annotated[FiniteFloat, Field(ge=-_LARGEST, le=_LARGEST)]],
    Field(min_length=1536, max_length=1536, description="The 1536 numbers of an embedding."),
]


class NewContext(BaseModel):
    """A context to create; a new organization is created with it."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"organization": "acme", "name": "Harbour", "description": "Ships and tides."}]
        },
    )

    organization: Annotated[
        str, Field(pattern=r"^[a-z0-9-]{1,255}$", description="The slug of the organization.")
    ]
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
    """A memory to add."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"content": "Low tide at 6", "tags": ["tide"], "metadata": {"type": "fact"}, "actor": "ada"}
            ]
        },
    )

    content: Annotated[Text, Field(min_length=1)]
    tags: list[Line] = []
    metadata: Document = {}
    actor: Line | None = None
    embedding: Numbers | None = None


class Change(BaseModel):
    """The fields of a memory to change; the others stay unchanged."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"content": "Low tide at 7", "actor": "bob", "reason": "summer time"}]
        },
    )

    # Each field may be left out; null is refused where the column takes none.
    content: Annotated[Text, Field(min_length=1)] = None  # type: ignore[assignment]
    tags: list[Line] | None = None
    metadata: Document = None  # type: ignore[assignment]
    embedding: Numbers | None = None
    actor: Line | None = None
    reason: Text | None = None

    @property
    def values(self) -> dict[str, Any]:
        """The given fields of the memory."""
        return self.model_dump(exclude_unset=True, exclude={"actor", "reason"})

    @model_validator(mode="after")
    def _changes_something(self) -> Change:
        if not self.values:
            raise ValueError("name a field to change")
        return self


class ShownMemory(BaseModel):
    """A memory, without its embedding."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    context_id: UUID
    content: str
    tags: list[str] | None
    metadata: Any = Field(validation_alias="metadata_", examples=[{"type": "fact"}])
    actor: str | None
    inserted_at: datetime
    deleted_at: datetime | None


class Page(BaseModel):
    """A page of memories, and the `before` of the next page; null on the last one."""

    memories: list[ShownMemory]
    before: UUID | None


class Place(BaseModel):
    """The embedding to search near, and the most memories of the answer."""

    embedding: Numbers
    limit: Annotated[int, Field(ge=1, le=100)] = 10


class ShownVersion(BaseModel):
    """The state of a memory after one change."""

    model_config = ConfigDict(from_attributes=True)

    version_number: int | None
    operation: str
    content: str
    tags: list[str] | None
    metadata: Any = Field(validation_alias="metadata_", examples=[{"type": "fact"}])
    actor: str | None
    reason: str | None
    inserted_at: datetime


class Problem(BaseModel):
    """The reason of a refused request."""

    detail: str


_PROBLEMS = {
    404: "No row has this id.",
    409: "The organization already has a context of this name.",
    410: "The memory was deleted.",
    501: "This database does not support the search.",
    503: "The database is not available now.",
}


def problems(*codes: int) -> dict[int | str, dict[str, Any]]:
    """Return the refusals of a request, for its description in `/docs`."""
    return {code: {"model": Problem, "description": _PROBLEMS[code]} for code in (*codes, 503)}
