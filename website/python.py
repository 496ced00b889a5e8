"""The public names, each with its docstring."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import diwa_schema
from diwa_schema import queries
from website.messages import classes

_FIXTURES = ("diwa_session", "diwa_async_session", "diwa_database", "diwa_engine")


def page() -> str:
    """Return the page: what mkdocstrings is to show."""
    return "\n\n".join(_parts()) + "\n"


def public() -> list[tuple[str, str]]:
    """Return the public names of the package, each with the place where it is defined, functions first."""
    named = [(name, getattr(diwa_schema, name)) for name in diwa_schema.__all__ if not name.startswith("__")]
    named.sort(key=lambda one: inspect.isclass(one[1]))
    return [(name, f"{value.__module__}.{name}") for name, value in named]


def _parts() -> Iterator[str]:
    yield "# Python"
    yield "## diwa_schema"
    yield from (f"::: {place}" for _, place in public())
    yield "## diwa_schema.queries"
    yield from (f"::: {getattr(queries, name).__module__}.{name}" for name in queries.__all__)
    yield "## diwa_schema.models"
    yield "The classes of the tables are described in [the dictionary](../dictionary/README.md)."
    yield "::: diwa_schema.models.engines.heal"
    yield "::: diwa_schema.models.base.enforce_foreign_keys"
    yield "## diwa_schema.testing"
    yield from (f"::: diwa_schema.testing.{name}" for name in _FIXTURES)
    yield "## diwa_schema.errors"
    yield from (f"::: diwa_schema.errors.{name}" for name in classes())
