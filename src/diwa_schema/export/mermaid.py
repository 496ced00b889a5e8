"""The entity diagrams in Mermaid: one for each tier, with the referenced tables of other tiers."""

from __future__ import annotations

from diwa_schema.export.description import TIERS, Column, Table, Tier, of_tier

TYPES = {"time": "timestamp", "document": "jsonb", "strings": "text_list", "search": "tsvector"}


def export() -> dict[str, str]:
    """Return one page of Markdown with a diagram for each tier."""
    lines = ["# Entities", ""]
    for tier in TIERS:
        lines += [f"## {tier.capitalize()} tier", "", "```mermaid", *_diagram(tier), "```", ""]
    return {"entities.md": "\n".join(lines).rstrip() + "\n"}


def _diagram(tier: Tier) -> list[str]:
    lines = ["erDiagram"]
    for table in of_tier(tier):
        lines.append(f"    {table.name} {{")
        lines += [f"        {_attribute(column)}" for column in table.columns]
        lines.append("    }")
    for table in of_tier(tier):
        lines += [f"    {line}" for line in _relations(table)]
    return lines


def marks(column: Column) -> list[str]:
    """Return the role of a column in keys: PK, FK, UK."""
    found = {"PK": column.primary_key, "FK": column.refers is not None, "UK": column.unique}
    return [mark for mark, holds in found.items() if holds]


def _attribute(column: Column) -> str:
    return " ".join([TYPES.get(column.kind, column.kind), column.name, ", ".join(marks(column))]).rstrip()


def _relations(table: Table) -> list[str]:
    """Return a line for each foreign key of a table."""
    lines = []
    for column in table.columns:
        if column.refers is not None:
            one = "|o" if column.nullable else "||"
            many = "o|" if column.unique or column.primary_key else "o{"
            lines.append(f"{column.refers.table} {one}--{many} {table.name} : {column.name}")
    return lines
