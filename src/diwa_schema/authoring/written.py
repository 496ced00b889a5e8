"""Tables, columns and constraints as the code of a revision: Alembic's calls with the types of this package."""

from __future__ import annotations

import ast
import inspect
import json
import re
import tokenize
from collections.abc import Collection, Mapping, Sequence
from io import StringIO
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import render_python_code
from alembic.operations import ops
from sqlalchemy.schema import DefaultClause
from sqlalchemy.sql.elements import quoted_name

from diwa_schema.drift.model import Column, Index, Table
from diwa_schema.errors import UsageError
from diwa_schema.models import types
from diwa_schema.models.types import ServerDefault

# PostgreSQL's names for types of the models; the types do not know these names.
_OF_THE_DATABASE = {
    "uuid": "UniqueId()",
    "character varying(255)": "ShortText()",
    "text": "LongText()",
    "bytea": "Bytes()",
    "boolean": "Flag()",
    "integer": "Count()",
    "double precision": "Real()",
    "numeric(10,6)": "Cost()",
    "jsonb": "Document()",
    "character varying(255)[]": "TextArray()",
    "timestamp(0) without time zone": "Timestamp(precision=0)",
    "timestamp without time zone": "Timestamp(precision=6)",
}


def imports(code: Sequence[str]) -> str:
    """Return the imports for lines of a revision."""
    words = set(re.findall(r"\w+(?=[.(])", " ".join(code)))
    outside = [("sa", "import sqlalchemy as sa"), ("op", "from alembic import op")]
    ours = ["from diwa_schema.migrations import steps"] if "steps" in words else []
    if used := sorted(words & set(types.__all__)):
        ours.append(f"from diwa_schema.models.types import {', '.join(used)}")
    groups = [[line for word, line in outside if word in words], ours]
    return "\n\n".join("\n".join(group) for group in groups if group)


def text(value: str) -> str:
    """Return a text as a Python literal in double quotes."""
    return json.dumps(value, ensure_ascii=False)


def names(values: Sequence[str]) -> str:
    """Return a list of names."""
    return f"[{', '.join(map(text, values))}]"


def texts(of: Mapping[str, Mapping[str, str | None]]) -> str:
    """Return the descriptions of columns, by table and column, for `steps.describe`."""

    def entries(columns: Mapping[str, str | None]) -> str:
        return ", ".join(
            f"{text(name)}: {'None' if words is None else text(words)}" for name, words in columns.items()
        )

    return f"{{{', '.join(f'{text(table)}: {{{entries(columns)}}}' for table, columns in of.items())}}}"


def kind(of: sa.types.TypeEngine[Any]) -> str:
    """Return a type with its arguments that differ from the defaults."""
    maker: Any = type(of)
    if not maker.__module__.startswith("diwa_schema."):
        return f"sa.{of!r}"
    given: dict[str, Any] = {}
    for name in inspect.signature(maker.__init__).parameters:
        if hasattr(of, name) and getattr(maker(**given), name, None) != getattr(of, name):
            given[name] = getattr(of, name)
    return f"{maker.__name__}({', '.join(f'{name}={value!r}' for name, value in given.items())})"


def default(of: sa.Column[Any]) -> str | None:
    """Return the server default of a column, or None."""
    if not isinstance(of.server_default, DefaultClause):
        return None
    value = of.server_default.arg
    if isinstance(value, ServerDefault):
        spelled = ", ".join(f"{name}={text(words)}" for name, words in value.spellings.items())
        return f"ServerDefault({spelled})"
    return text(value) if isinstance(value, str) else f"sa.text({text(str(value))})"


def column(of: sa.Column[Any], *, nullable: bool | None = None, server_default: bool = True) -> str:
    """Return a column.

    Args:
        of: The column.
        nullable: Whether it takes NULL; by default its own declaration.
        server_default: Whether it gets its default.
    """
    words = [text(of.name), kind(of.type)]
    if server_default and (spelled := default(of)) is not None:
        words.append(f"server_default={spelled}")
    if not (of.nullable if nullable is None else nullable):
        words.append("nullable=False")
    if of.comment:
        words.append(f"comment={text(of.comment)}")
    return f"sa.Column({', '.join(words)})"


def create_table(table: sa.Table, *, without: Collection[str] = ()) -> str:
    """Return the call that creates a table, with its keys and its own constraints.

    Args:
        table: The table.
        without: The names of constraints that are added later.
    """
    words = [text(table.name), *(column(one) for one in table.columns)]
    for one in sorted(
        table.constraints, key=lambda one: (not isinstance(one, sa.PrimaryKeyConstraint), str(one.name))
    ):
        if str(one.name) in without:
            continue
        name = f"name={text(str(one.name))}"
        if isinstance(one, sa.PrimaryKeyConstraint):
            words.append(
                f"sa.PrimaryKeyConstraint({', '.join(text(key.name) for key in one.columns)}, {name})"
            )
        elif isinstance(one, sa.ForeignKeyConstraint):
            here = names([key.parent.name for key in one.elements])
            there = names([key.target_fullname for key in one.elements])
            rule = f", ondelete={text(one.ondelete)}" if one.ondelete else ""
            words.append(f"sa.ForeignKeyConstraint({here}, {there}, {name}{rule})")
        elif isinstance(one, sa.CheckConstraint):
            # SQLite has no check on any table: adding one to a table that is there would copy it.
            words.append(f'sa.CheckConstraint({text(condition(one))}, {name}).ddl_if(dialect="postgresql")')
        else:
            raise UsageError(
                f"The constraint {one.name} of {table.name} cannot be drafted.",
                next_step="Use an index instead, or write the revision by hand.",
            )
    return f"op.create_table({', '.join(words)})"


def condition(of: sa.CheckConstraint) -> str:
    """Return the condition of a check, as SQL."""
    return str(of.sqltext.compile(compile_kwargs={"literal_binds": True}))


def create_index(of: sa.Index, *, step: bool) -> str:
    """Return the call that creates an index.

    Args:
        of: The index, from tables for PostgreSQL.
        step: Whether to use the safe step, which lets rows be written meanwhile.
    """
    of.name = quoted_name(str(of.name), quote=None)
    body = ops.UpgradeOps([ops.CreateIndexOp.from_index(of)])
    code = "".join(
        line.strip() for line in render_python_code(body).splitlines() if not line.strip().startswith("#")
    ).replace(", unique=False", "")
    # Alembic writes the result of `repr`; without a formatter, a file would have both kinds of quotes.
    tokens = tokenize.generate_tokens(StringIO(code).readline)
    for token in reversed([one for one in tokens if one.type == tokenize.STRING]):
        code = code[: token.start[1]] + text(ast.literal_eval(token.string)) + code[token.end[1] :]
    return code.replace("op.create_index(", "steps.create_index_concurrently(", 1) if step else code


def kind_of(of: Column) -> str | None:
    """Return the type of a column read from PostgreSQL; None if this package has no such type."""
    return _OF_THE_DATABASE.get(of.type)


def default_as_read(of: Column, lite: Column | None) -> str:
    """Return the default of a column read from PostgreSQL; SQLite does not know the types in its words.

    Args:
        of: The column.
        lite: The same column on SQLite; None if it does not exist there.
    """
    if of.default is None:
        return "None"
    if lite is None or lite.default == of.default:
        return f"sa.text({text(of.default)})"
    on_sqlite = "" if lite.default is None else f", sqlite={text(lite.default)}"
    return f"ServerDefault(postgresql={text(of.default)}{on_sqlite})"


def as_read(of: Column, lite: Column | None) -> str | None:
    """Return a column read from PostgreSQL; None if this package has no such type.

    Args:
        of: The column.
        lite: As for `default_as_read`.
    """
    spelled = kind_of(of)
    if spelled is None:
        return None
    words = [text(of.name), spelled]
    if of.default is not None:
        words.append(f"server_default={default_as_read(of, lite)}")
    if not of.nullable:
        words.append("nullable=False")
    if of.comment:
        words.append(f"comment={text(of.comment)}")
    return f"sa.Column({', '.join(words)})"


def index_as_read(of: Index, table: str, *, step: bool) -> str:
    """Return the call that creates an index read from PostgreSQL."""
    keys = [text(one) if one.isidentifier() else f"sa.text({text(one)})" for one in of.columns]
    words = [text(of.name), text(table), f"[{', '.join(keys)}]"]
    if of.unique:
        words.append("unique=True")
    if of.method != "btree":
        words.append(f"postgresql_using={text(of.method)}")
    if of.predicate is not None:
        words.append(f"postgresql_where=sa.text({text(of.predicate)})")
    return f"{'steps.create_index_concurrently' if step else 'op.create_index'}({', '.join(words)})"


def table_as_read(of: Table, lite: Table | None) -> list[str] | None:
    """Return the calls that create a table read from PostgreSQL; None if this package lacks a type of it.

    Args:
        of: The table.
        lite: The same table on SQLite; None if it does not exist there.
    """
    columns = [as_read(one, None if lite is None else lite.column(one.name)) for one in of.columns]
    if None in columns or of.primary_key is None:
        return None
    words = [text(of.name), *map(str, columns)]
    keys = ", ".join(map(text, of.primary_key.columns))
    words.append(f"sa.PrimaryKeyConstraint({keys}, name={text(of.primary_key.name)})")
    for key in of.foreign_keys:
        there = names([f"{key.references}.{one}" for one in key.ref_columns])
        rule = "" if key.on_delete == "NO ACTION" else f", ondelete={text(key.on_delete)}"
        words.append(f"sa.ForeignKeyConstraint({names(key.columns)}, {there}, name={text(key.name)}{rule})")
    return [
        f"op.create_table({', '.join(words)})",
        *(index_as_read(one, of.name, step=False) for one in of.indexes),
    ]
