"""The JSON form of catalogs. What equals a field's default is left out: files stay short and stable."""

from __future__ import annotations

import json
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, TypeVar, cast

from diwa_schema.drift.model import Catalog

T = TypeVar("T")


def to_document(catalog: Catalog) -> dict[str, Any]:
    """Return a catalog as a JSON document, without where it was read."""
    document = cast("dict[str, Any]", _plain(catalog))
    document.pop("origin", None)
    return document


def from_document(document: dict[str, Any]) -> Catalog:
    """Return the catalog of a JSON document."""
    return _value(Catalog, document)


def dumps(catalog: Catalog) -> str:
    """Return the JSON text of a catalog, one object of the schema per line, ending in a newline."""
    document = to_document(catalog)
    lines = [f'{{"dialect": {json.dumps(document.pop("dialect"))}']
    lines += [f'"{name}": {_listing(items)}' for name, items in document.items()]
    return ",\n".join(lines) + "}\n"


def loads(text: str) -> Catalog:
    """Return the catalog of a JSON text."""
    return from_document(json.loads(text))


def _listing(items: list[dict[str, Any]]) -> str:
    return "[\n" + ",\n".join(_entry(item) for item in items) + "\n]"


def _entry(item: dict[str, Any]) -> str:
    parts = []
    for name, value in item.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            inner = ",\n".join(f"    {json.dumps(one, ensure_ascii=False)}" for one in value)
            parts.append(f'\n  "{name}": [\n{inner}]')
        else:
            parts.append(f'"{name}": {json.dumps(value, ensure_ascii=False)}')
    return " {" + ", ".join(parts).replace(", \n", ",\n") + "}"


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if not is_dataclass(value):
        return value
    return {
        spec.name: _plain(held)
        for spec in fields(value)
        if (held := getattr(value, spec.name)) != spec.default or spec.default is MISSING
    }


def _value(kind: type[T], document: dict[str, Any]) -> T:
    specs = {spec.name: spec for spec in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: _field(specs[name], held) for name, held in document.items()})


def _field(spec: Field[Any], held: Any) -> Any:
    kind = spec.metadata.get("of")
    if isinstance(held, list):
        return tuple(_value(kind, item) if kind else item for item in held)
    return _value(kind, held) if kind else held
