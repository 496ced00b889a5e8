"""Operations that PostgreSQL has and SQLite does not: SQLite would apply them to the text of a value."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement
from sqlalchemy.exc import CompileError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class OnPostgresql(FunctionElement[Any]):
    """An operation of PostgreSQL, or a value for one. SQLite is refused it when the statement is compiled.

    Args:
        operation: The operation.
        advice: What to write instead.
    """

    inherit_cache = True

    def __init__(self, operation: ColumnElement[Any], advice: str) -> None:
        super().__init__(operation)
        self.type = operation.type
        self.advice = advice
        self.operation = operation

    def __bool__(self) -> bool:
        """Return what the operation returns: SQLAlchemy finds columns in dicts by ``==``."""
        return bool(self.operation)


@compiles(OnPostgresql)
def _operate(element: OnPostgresql, compiler: Any, **options: Any) -> str:
    return f"({compiler.process(element.clauses, **options)})"


@compiles(OnPostgresql, "sqlite")
def _refuse(element: OnPostgresql, *_: Any, **__: Any) -> str:
    raise CompileError(element.advice)
