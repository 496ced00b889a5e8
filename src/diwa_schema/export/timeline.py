"""The history in Markdown: every revision with its phase, its purpose and its changes."""

from __future__ import annotations

from itertools import groupby

from diwa_schema.export.dictionary import cell
from diwa_schema.export.history import Step, history


def export() -> dict[str, str]:
    """Return one page of Markdown."""
    lines = [
        "# History",
        "",
        "Code that runs today, and the connections that it has open, keep working after an `expand`.",
        "A `contract` breaks code that is older than its floor.",
        "",
        "| revision | phase | name | purpose |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| [{step.revision.revision}](#{step.revision.revision}) | {step.revision.phase} | {step.revision.slug}"
        f" | {cell(step.purpose)} |"
        for step in history()
    ]
    for step in history():
        lines += ["", *_section(step)]
    return {"history.md": "\n".join(lines) + "\n"}


def _section(step: Step) -> list[str]:
    revision = step.revision
    lines = [f"## {revision.revision}", "", step.purpose, ""]
    facts = [f"phase {revision.phase}"]
    if revision.floor:
        facts.append(f"code of {revision.floor} and later still works")
    facts.append("one transaction" if revision.transactional else "one step outside a transaction")
    facts.append(
        f"cannot be reversed: {revision.irreversible}" if revision.irreversible else "can be reversed"
    )
    lines.append(f"* {', '.join(facts)}")
    for table, changes in groupby(step.changes, key=lambda change: change.table):
        lines.append(f"* `{table}`: {', '.join(change.text for change in changes if change.text)}")
    if revision.rewrites:
        lines.append(
            f"* writes or indexes rows under a strong lock: {', '.join(f'`{table}`' for table in revision.rewrites)}"
        )
    return lines
