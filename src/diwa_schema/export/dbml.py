"""The schema in DBML, the language of dbdiagram.io and similar tools."""

from __future__ import annotations

from diwa_schema.export.description import TIERS, Column, Table, describe, of_tier
from diwa_schema.export.dictionary import sentence


def export() -> dict[str, str]:
    """Return one file."""
    parts = ["Project diwa_schema {\n  database_type: 'PostgreSQL'\n}"]
    parts += [_table(table) for table in describe()]
    parts += [
        f"Ref: {table.name}.{column.name} {_arrow(column)} {column.refers.table}.{column.refers.column}"
        f" [delete: {column.refers.on_delete.lower()}]"
        for table in describe()
        for column in table.columns
        if column.refers
    ]
    parts += [
        "\n".join([f"TableGroup {tier} {{", *(f"  {table.name}" for table in of_tier(tier)), "}"])
        for tier in TIERS
    ]
    return {"schema.dbml": "\n\n".join(parts) + "\n"}


def _table(table: Table) -> str:
    lines = [f"Table {table.name} {{"]
    lines += [f"  {_column(column, table.writer)}" for column in table.columns]
    if table.indexes:
        lines.append("  indexes {")
        for index in table.indexes:
            settings = [f"name: {quoted(index.name)}"]
            if index.unique:
                settings.append("unique")
            # DBML supports only btree and hash.
            lines.append(f"    ({', '.join(index.columns)}) [{', '.join(settings)}]")
        lines.append("  }")
    lines += [f"  Note: {quoted(table.meaning)}", "}"]
    return "\n".join(lines)


def _column(column: Column, writer: str) -> str:
    settings = []
    if column.primary_key:
        settings.append("pk")
    if not column.nullable:
        settings.append("not null")
    if column.unique:
        settings.append("unique")
    if column.default is not None:
        settings.append(f"default: `{column.default}`")
    settings.append(f"note: {quoted(sentence(column, writer))}")
    return f'{column.name} "{column.type}" [{", ".join(settings)}]'


def _arrow(column: Column) -> str:
    return "-" if column.unique or column.primary_key else ">"


def quoted(text: str) -> str:
    """Return a text in DBML's notation."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
