"""squawk, which parses SQL with PostgreSQL's own grammar, applied to a revision's own SQL.

Each relevant rule of squawk has a name in this package. Nothing is therefore reported twice, and a revision's reason
applies to findings from squawk and from the operation.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Collection
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any

from diwa_schema.authoring.record import Trace
from diwa_schema.authoring.rule import Finding
from diwa_schema.authoring.rules import columns, constraints, indexes, statements, tables
from diwa_schema.authoring.source import Source
from diwa_schema.errors import UsageError

OLDEST_SERVER = "15.0"

OURS = {
    "adding-field-with-default": columns.DEFAULT,
    "adding-foreign-key-constraint": constraints.FOREIGN_KEY,
    "adding-not-nullable-field": columns.NOT_NULL,
    "adding-required-field": columns.REQUIRED,
    "adding-serial-primary-key-field": constraints.PRIMARY_KEY,
    "ban-alter-domain-with-add-constraint": statements.DOMAIN,
    "ban-char-field": columns.CHAR,
    "ban-concurrent-index-creation-in-transaction": indexes.CONCURRENTLY,
    "ban-create-domain-with-constraint": statements.DOMAIN,
    "ban-drop-column": columns.DROP,
    "ban-drop-database": tables.DROP,
    "ban-drop-not-null": columns.NULLABLE,
    "ban-drop-table": tables.DROP,
    "ban-truncate-cascade": statements.TRUNCATE,
    "ban-uncommitted-transaction": statements.ENDS,
    "changing-column-type": columns.RESULT,
    "constraint-missing-not-valid": constraints.CHECK,
    "disallowed-unique-constraint": constraints.UNIQUE,
    "identifier-too-long": tables.LONG,
    "prefer-repack": statements.REWRITE,
    "renaming-column": columns.RENAME,
    "renaming-table": tables.RENAME,
    "require-concurrent-index-creation": indexes.BLOCKS,
    "require-concurrent-index-deletion": indexes.DROP,
    "require-concurrent-partition-detach": statements.DETACH,
    "require-concurrent-reindex": indexes.REINDEX,
    "require-enum-value-ordering": statements.ENUM_ORDER,
    "syntax-error": statements.SYNTAX,
    "transaction-nesting": statements.ENDS,
}

# Not checked, because this package decides it in another way.
LEFT_OUT = {
    "ban-duplicate-column-assignments": "a rule of this package finds statements that write rows",
    "ban-drop-constraint": "the operation shows its kind, and only foreign keys protect rows",
    "prefer-bigint-over-int": "only keys are long",
    "prefer-bigint-over-smallint": "only keys are long",
    "prefer-identity": "ids are uuids",
    "prefer-robust-stmts": "a revision is one transaction, or one step that can run again",
    "prefer-text-field": "the lengths are those of the Ecto schema",
    "prefer-timestamp-tz": "times are UTC without a zone, as Ecto writes them",
    "require-lock-timeout": "the runner sets it",
    "require-statement-timeout": "the runner sets it",
    "require-table-schema": "the run names the schema",
    "unused-ignore": "reasons stand in the revision",
}

# Allowed in a contract revision, which declares that it breaks older code.
BREAKS = frozenset({columns.DROP, columns.RENAME, columns.NULLABLE, tables.DROP, tables.RENAME})


def program() -> str | None:
    """Return the path of squawk: the one beside this package, else the one on the PATH."""
    try:
        beside = distribution("squawk-cli")
    except PackageNotFoundError:
        return shutil.which("squawk")
    places = [str(beside.locate_file(file)) for file in beside.files or () if file.stem == "squawk"]
    return next((place for place in places if os.access(place, os.X_OK)), shutil.which("squawk"))


def only_its_own() -> list[str]:
    """Return the ids of the rules that only squawk checks."""
    own = (
        indexes.REINDEX, constraints.VALIDATE, statements.DETACH, statements.DOMAIN,
        statements.ENUM_ORDER, statements.SYNTAX, statements.TRUNCATE,
    )  # fmt: skip
    return sorted(one.id for one in own)


def check(
    source: Source,
    trace: Trace,
    squawk: str,
    found: list[Finding],
    settled: Collection[tuple[int, str]] = (),
) -> list[Finding]:
    """Return the findings of squawk in a revision's own SQL text.

    Args:
        source: The revision.
        trace: What it does.
        squawk: The program.
        found: The findings in the operations: squawk's findings about the same lines are ignored.
        settled: The lines and tables that are known to be fine.

    Raises:
        UsageError: The program does not answer like squawk.
    """
    known = {*((one.line, one.table) for one in found), *settled}
    records = [record for record in trace.records if record.plain and record.sql]
    # The first statement creates the new tables, so that squawk knows them as new.
    lines = [record for record in records for _ in record.sql.split("\n")[:-1] or [""]]
    text = "".join(record.sql if record.sql.endswith("\n") else f"{record.sql}\n" for record in records)
    contract = source.declared("phase") == "contract"
    findings: list[Finding] = []
    for one in _run(squawk, text):
        name, record = one["rule_name"], lines[min(one["line"], len(lines) - 1)]
        if name in LEFT_OUT or (record.line, record.table) in known or record.table in trace.created:
            continue
        rule = OURS.get(name)
        if rule is constraints.CHECK and "VALIDATE" in one["message"]:
            rule = constraints.VALIDATE
        if contract and (rule in BREAKS or (rule is None and name.startswith(("ban-drop-", "renaming-")))):
            continue
        if contract and rule is columns.RESULT:
            rule = columns.RETYPE
        if rule is None:
            instead = one.get("help") or ""
            finding = Finding(
                name, source.revision, source.shown, record.line, record.table, None, one["message"], instead
            )
        else:
            finding = rule.found(source, record.line, record.table)
        if finding not in findings:
            findings.append(finding)
    # squawk reports a foreign key twice: as a foreign key and as a constraint.
    keys = {one.line for one in findings if one.rule == constraints.FOREIGN_KEY.id}
    return [one for one in findings if one.rule != constraints.CHECK.id or one.line not in keys]


def _run(squawk: str, text: str) -> list[dict[str, Any]]:
    if not text.strip():
        return []
    words = [squawk, "--reporter=json", f"--pg-version={OLDEST_SERVER}", "--assume-in-transaction"]
    # The settings of the working directory are ignored, so that a history gets the same verdict everywhere.
    words += [f"--config={os.devnull}", "--stdin-filepath=revision.sql"]
    words += [f"--exclude={','.join(name for name in LEFT_OUT if name != 'unused-ignore')}"]
    try:
        done = subprocess.run(words, input=text, capture_output=True, text=True, check=False)  # noqa: S603
        answer: list[dict[str, Any]] = json.loads(done.stdout)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"The answer of {squawk} is not readable: {error}",
            next_step="Install a version that this package supports: pip install 'diwa-schema[lint]'",
        ) from None
    return answer
