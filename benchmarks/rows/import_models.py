"""`import diwa_schema.models` and its first class, against `sqlalchemy.orm` and as many classes written by hand."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from benchmarks.bench import Bench
from benchmarks.measure import Row, alternate, process


def rows(bench: Bench) -> Iterator[Row]:
    from diwa_schema.models import Base

    tables = Base.metadata.sorted_tables
    if not tables:
        return
    (bench.folder / "by_hand.py").write_text("\n".join(written(tables)))
    beside = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(bench.folder), os.environ.get("PYTHONPATH", "")]),
    }
    samples = alternate(
        bench.rounds,
        lambda: process("-c", "import diwa_schema.models; diwa_schema.models.Memory"),
        lambda: process("-c", "import by_hand", env=beside),
    )
    yield Row(
        "import diwa_schema.models, with its classes",
        f"sqlalchemy.orm and {len(tables)} classes by hand",
        1.2,
        *samples,
    )


def written(tables: list[Any]) -> Iterator[str]:
    """Yield a module with a plain class for each table, as one would write them."""
    yield "from __future__ import annotations\n\nimport datetime\nimport uuid\nfrom decimal import Decimal\n"
    yield "from sqlalchemy import ForeignKey, String"
    yield "from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column\n"
    yield "\nclass Base(DeclarativeBase):\n    pass\n"
    for table in tables:
        yield f"\nclass {''.join(part.title() for part in table.name.split('_'))}(Base):"
        yield f"    __tablename__ = {table.name!r}"
        yield from (_column(column) for column in table.columns)


def _column(column: Any) -> str:
    kinds = {
        "UUID": "uuid.UUID",
        "datetime": "datetime.datetime",
        "int": "int",
        "bool": "bool",
        "float": "float",
        "Decimal": "Decimal",
        "bytes": "bytes",
    }
    kind = kinds.get(
        getattr(column.type.python_type, "__name__", "") if _has_python_type(column) else "", "str"
    )
    options = [f"ForeignKey({key.target_fullname!r})" for key in column.foreign_keys]
    options += ["String(255)"] if kind == "str" and not options else []
    options += ["primary_key=True"] if column.primary_key else []
    options += ["index=True"] if column.index else []
    name = f"{column.name}_" if column.name in ("metadata", "registry") else column.name
    options[:0] = [repr(column.name)] if name != column.name else []
    optional = " | None" if column.nullable else ""
    return f"    {name}: Mapped[{kind}{optional}] = mapped_column({', '.join(options)})"


def _has_python_type(column: Any) -> bool:
    try:
        return bool(column.type.python_type)
    except NotImplementedError:
        return False
