"""Filters for the `env.py` of an application's own Alembic: they exclude the shared tables from its migrations.

An application may have its own history for its own tables in the same database. `alembic revision --autogenerate` sees
every table there and would write a `drop_table` for each table outside the application's models:

    from diwa_schema.autogenerate import include_name, include_object

    context.configure(..., include_name=include_name, include_object=include_object)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diwa_schema.migrations import manifest

# Every table of this package beside those of the schema: version, ledger, kept values, archive.
PREFIX = "diwa_schema_"
ECTO = "schema_migrations"


def include_name(name: str | None, kind: str, parents: Mapping[str, str | None]) -> bool:
    """Return whether Alembic should consider an object of the database.

    Args:
        name: Its name; None for the default schema.
        kind: Its kind, such as ``table`` or ``schema``.
        parents: Its containers in Alembic's form: ``schema_name``, None for the default schema.
    """
    if kind != "table" or not _is_shared(name):
        return True
    # With `include_schemas`, the application may have its own table of such a name in its own schema.
    schema = parents.get("schema_name")
    return schema is not None and f"{schema}.{name}" in _tables_of_the_application()


def include_object(
    thing: Any, name: str | None, kind: str, reflected: bool, compared_with: object | None
) -> bool:
    """Return whether Alembic should compare an object of the models, of the database, or of both.

    It is needed beside `include_name` if the application's tables refer to shared ones. Alembic then compares
    metadata with the shared models, and would write a `create_table` for each.

    Args:
        thing: The object of SQLAlchemy, such as a Table.
        name: Its name.
        kind: Its kind, such as ``table`` or ``column``.
        reflected: Whether it was read from the database.
        compared_with: Its counterpart on the other side; None if there is none.
    """
    if kind != "table" or not _is_shared(name):
        return True
    return thing.schema is not None and (not reflected or compared_with is not None)


def _is_shared(table: str | None) -> bool:
    name = table or ""
    return name.startswith(PREFIX) or name == ECTO or name in manifest.load().tables


def _tables_of_the_application() -> set[str]:
    """Return the tables in the metadata that the running `env.py` passed to Alembic."""
    from alembic import context

    said = context.get_context().opts.get("target_metadata") or ()
    return {name for one in (said if isinstance(said, list | tuple) else (said,)) for name in one.tables}
