"""The dictionary: a Markdown page for each tier, with the columns, indexes and history of each table."""

from __future__ import annotations

from diwa_schema.export.description import TIERS, Column, Table, Tier, describe, of_tier
from diwa_schema.export.history import history, since
from diwa_schema.models.dossier import INVENTED
from diwa_schema.models.rules import KEPT
from diwa_schema.names import amount

_TITLES: dict[Tier, str] = {"core": "Core tier", "team": "Team tier", "enterprise": "Enterprise tier"}


def export() -> dict[str, str]:
    """Return the pages by file name."""
    return {"README.md": _contents(), **{f"{tier}.md": _page(tier) for tier in TIERS}}


def _contents() -> str:
    count = sum(len(table.columns) for table in describe())
    lines = [
        "# Dictionary of the schema",
        "",
        f"{amount(len(describe()), 'table')} with {amount(count, 'column')}, as they are at head on PostgreSQL.",
        "These pages are generated: run `diwa-schema export dictionary --output DIR`.",
        "The [diagram of the entities](entities.md) and the [history](history.md) stand beside them.",
        f"There is a picture of each tier: {', '.join(f'[{tier}]({tier}.svg)' for tier in TIERS)}.",
        "",
        "* **Words** are what applications write; a row may hold others unless a rule of the table forbids them.",
        "* **Since** is the revision in which a column came.",
        "* **Written by** says diwa-cloud where a column belongs to its features. Its code is not public.",
        "* **People** says whether a column names a person, may hold personal or health data, or is a secret.",
        "",
        "| table | tier | meaning |",
        "|---|---|---|",
    ]
    lines += [
        f"| [`{table.name}`]({table.tier}.md#{table.name}) | {table.tier} | {cell(table.meaning)} |"
        for table in describe()
    ]
    return "\n".join(lines) + "\n"


def _page(tier: Tier) -> str:
    parts = [f"# {_TITLES[tier]}", ""]
    for table in of_tier(tier):
        parts += _table(table)
    return "\n".join(parts).rstrip() + "\n"


def _table(table: Table) -> list[str]:
    lines = [
        f"## {table.name}",
        "",
        f"{table.meaning} In the models it is `{table.model}`; it is written by {table.writer}.",
        "",
        "| column | type | meaning | since | people |",
        "|---|---|---|---|---|",
    ]
    lines += [_row(table, column) for column in table.columns]
    if table.indexes:
        lines += ["", "Indexes:", ""]
        lines += [
            f"* `{index.name}` on {', '.join(f'`{name}`' for name in index.columns)}"
            f"{', unique' if index.unique else ''}{'' if index.method == 'btree' else f', {index.method}'}"
            for index in table.indexes
        ]
    rules = [f"* `{rule.name}`: {rule.why}" for rule in KEPT if rule.table == table.name]
    if rules:
        lines += ["", "Rules that PostgreSQL keeps, each where no row breaks it:", "", *rules]
    lines += ["", "History:", ""]
    for step in history():
        texts = [change.text for change in step.changes if change.table == table.name and change.text]
        if texts:
            lines.append(f"* {step.revision.revision} ({step.revision.phase}): {', '.join(texts)}")
    return [*lines, ""]


def _row(table: Table, column: Column) -> str:
    name = f"`{column.name}`"
    if column.attribute != column.name:
        name += f" (`{column.attribute}` in the models)"
    revision = since()[f"{table.name}.{column.name}"]
    cells = (name, _type(column), sentence(column, table.writer), revision, column.privacy or "no")
    return f"| {' | '.join(map(cell, cells))} |"


def _type(column: Column) -> str:
    parts = [column.type if column.nullable else f"{column.type} NOT NULL"]
    if column.primary_key:
        parts.append("key")
    if column.default:
        parts.append(f"default `{column.default}`")
    if column.refers:
        parts.append(f"refers to `{column.refers.table}.{column.refers.column}`")
        parts.append(f"on delete {column.refers.on_delete}")
    return ", ".join(parts)


def sentence(column: Column, writer: str = "") -> str:
    """Return the description of a column beyond its type, as text.

    Args:
        column: The column.
        writer: The writer of the table; a column with another writer says so.
    """
    parts = [column.meaning]
    if column.unit:
        parts.append(f"Unit: {column.unit}.")
    if column.values:
        parts.append(f"Words{'' if column.closed else ' (open)'}: {', '.join(column.values)}.")
    if column.invented:
        parts.append(INVENTED)
    if column.writer != writer:
        parts.append(f"Written by {column.writer}.")
    return " ".join(parts)


def cell(text: str) -> str:
    """Return a text for a cell of a table in Markdown."""
    return text.replace("|", "\\|").replace("\n", " ")
