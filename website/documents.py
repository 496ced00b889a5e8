"""What each command prints with `--json`, as JSON Schema: from the classes that the documents are made of.

A class says which fields there are, of which type, and what they mean; what `as_dict` adds or leaves out stands here.
tests/test_documents.py validates what the commands print.
"""

from __future__ import annotations

import re
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import StrEnum
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from diwa_schema.authoring.durations import Duration
from diwa_schema.authoring.observe import Observed
from diwa_schema.authoring.rule import Finding as LintFinding
from diwa_schema.cli.parser import build_parser
from diwa_schema.database.releases import Connected
from diwa_schema.database.seen import Seen
from diwa_schema.drift.report import Difference
from diwa_schema.drift.rules import BrokenRule, Waiting
from diwa_schema.errors import DiwaSchemaError
from diwa_schema.fleet.report import Outcome
from diwa_schema.guard.evidence import Evidence
from diwa_schema.guard.verdict import Bypass, Verdict
from diwa_schema.health.finding import Finding
from diwa_schema.health.status import Status
from diwa_schema.migrations.steps.dependents import Dependent
from diwa_schema.privileges.difference import Roles
from diwa_schema.repository.remarks import Remark
from diwa_schema.run.adopt.variants import Variant
from diwa_schema.run.connections import Connections, Retype
from diwa_schema.run.copy.rows import Moved
from diwa_schema.run.plan import Obstacle, Size
from diwa_schema.run.settings import Report
from website.command_line import commands
from website.docstrings import documented, summary
from website.messages import classes

DIALECT = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, Any]

# What annotations name that only a type checker imports.
_NAMES = {"Connections": Connections, "Retype": Retype, "Duration": Duration, "Mapping": Mapping}
_PLAIN: dict[Any, str] = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


class Document(NamedTuple):
    """A document that a command prints.

    Args:
        title: When it is printed.
        schema: Its schema.
    """

    title: str
    schema: Schema


def text(meaning: str = "", *words: str) -> Schema:
    """Return the schema of a text, one of some words where they are given."""
    return _described({"enum": list(words)} if words else {"type": "string"}, meaning)


def number(meaning: str) -> Schema:
    """Return the schema of a whole number."""
    return _described({"type": "integer"}, meaning)


def flag(meaning: str) -> Schema:
    """Return the schema of true or false."""
    return _described({"type": "boolean"}, meaning)


def many(items: Schema, meaning: str = "") -> Schema:
    """Return the schema of a list."""
    return _described({"type": "array", "items": items}, meaning)


def by_name(values: Schema, meaning: str = "") -> Schema:
    """Return the schema of an object with names that are not known beforehand."""
    return _described({"type": "object", "additionalProperties": values}, meaning)


def maybe(schema: Schema) -> Schema:
    """Return a schema that allows null as well, with the meaning outside."""
    plain = {key: value for key, value in schema.items() if key != "description"}
    return _described({"anyOf": [plain, {"type": "null"}]}, schema.get("description", ""))


def record(properties: Mapping[str, Schema], *, optional: Iterable[str] = (), meaning: str = "") -> Schema:
    """Return the schema of an object with these properties and no others, each there unless it is optional."""
    left = set(optional)
    found = {
        "type": "object",
        "properties": dict(properties),
        "required": [name for name in properties if name not in left],
        "additionalProperties": False,
    }
    return _described(found, meaning)


def parts(described: type, *hidden: str, **changed: Schema) -> dict[str, Schema]:
    """Return the properties of a class's document: its fields, without those that it keeps to itself.

    Args:
        described: A dataclass or a named tuple.
        hidden: Fields that the document leaves out.
        changed: Properties that are not as the class declares them, or that it adds; they keep its meaning.
    """
    hints = get_type_hints(described, localns=_NAMES)
    meanings = {name: re.sub(r"\bNone\b", "null", said) for name, said in documented(described).items()}
    names = [one.name for one in fields(described)] if is_dataclass(described) else described._fields  # type: ignore[attr-defined]
    found = {name: changed.get(name) or _of(hints[name]) for name in names if name not in hidden}
    found |= {name: schema for name, schema in changed.items() if name not in found}
    return {
        name: _described(schema, schema.get("description") or meanings.get(name, ""))
        for name, schema in found.items()
    }


def whole(described: type, *hidden: str, **changed: Schema) -> Schema:
    """Return the schema of a class's document; see `parts`."""
    return record(parts(described, *hidden, **changed), meaning=summary(described))


def _described(schema: Schema, meaning: str) -> Schema:
    plain = {key: value for key, value in schema.items() if key != "description"}
    return {"description": meaning, **plain} if meaning else plain


def _of(hint: Any) -> Schema:
    """Return the schema of a type."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint in _PLAIN:
        return {"type": _PLAIN[hint]}
    if origin in (Union, types.UnionType):
        found: Schema = {"anyOf": [_of(one) for one in arguments]}
    elif origin is Literal:
        found = {"enum": list(arguments)}
    elif origin in (list, tuple, Sequence):
        found = many(_of(arguments[0]))
    elif origin in (dict, Mapping):
        found = by_name(_of(arguments[1]))
    elif issubclass(hint, StrEnum):
        found = {"enum": [str(one) for one in hint]}
    else:
        found = whole(hint)
    return found


REVISION = text("The id of a revision.")
REPORT = parts(Report)
DIFFERENCE = whole(
    Difference,
    fix=text("The statements that take the difference away; empty where there are none."),
    safe=flag("Whether they can run on a live table."),
    caution=text("Why they are not safe, or what has to be done by hand."),
    losing=text("A statement that would lose values; never one to run next."),
    lost=maybe(number("How many values it would lose; null where nobody counted them.")),
)
WAITING = whole(Waiting, text=text("The same in one sentence."))
VERDICT = parts(
    Verdict,
    evidence=many(whole(Evidence)),
    bypass=maybe(whole(Bypass)),
)
PLAN: dict[str, Schema] = {
    "from": maybe(text("The revision that the database is at; null for base.")),
    "to": maybe(text("The revision that it would be at.")),
    "snapshot": flag("Whether one snapshot makes everything, on an empty database."),
    "revisions": many(
        record(
            {
                "revision": text("Its id."),
                "slug": text("Its short name."),
                "phase": text("A contract breaks code that is older than its floor.", "expand", "contract"),
                "transactional": flag("Whether it is one transaction."),
                "irreversible": maybe(text("Why there is no way back; null where there is one.")),
                "drops_back": many(text(), "The tables that its way back drops."),
                "forgets": many(text(), "The columns whose values its way back does not bring back."),
                "stalls": maybe(text("Why it needs --allow-stall; null where it does not.")),
                "retypes": many(text(), "The columns whose values come back as another type."),
            }
        ),
        "The revisions that would run, in order.",
    ),
    "obstacles": many(whole(Obstacle), "What the role may not do, or the server lacks."),
    "dependents": many(whole(Dependent), "Views and the like that have to be dropped before."),
    "outdated": maybe(
        many(
            {
                "anyOf": [
                    record(
                        {
                            "revision": REVISION,
                            "needs": text("The oldest release that it lets live."),
                            **parts(one),
                        }
                    )
                    for one in (Connected, Seen)
                ]
            },
            "Releases that a revision would break: connected, or seen lately. null where the role may not look.",
        )
    ),
    "connections": maybe(
        _described(whole(Connections), "What the change does to connections that are open.")
    ),
    "archived": by_name({"type": "integer"}, "How many values of a column go to the archive of embeddings."),
    "sizes": by_name(whole(Size), "The tables that are rewritten or retyped."),
}
ROWS_OF_FACTS = many({"type": "object"})
# What an error knows beside its texts, by name. `Blocked` has the whole verdict of the guard.
FACTS: dict[str, Schema] = {
    "added": many(number("")),
    "blockers": many(text()),
    "column": text(),
    "confirm": text("What --confirm has to name."),
    "constraint": maybe(text()),
    "current": maybe(text()),
    "database": text("The masked URL."),
    "dependents": many({"anyOf": [{"type": "string"}, whole(Dependent)]}),
    "differences": many(DIFFERENCE, "What differs, notes included."),
    "file": text(),
    "foreign": many(text()),
    "gone": many(number("")),
    "group": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
    "head": text(),
    "holder": text("Who holds the lock."),
    "index": text(),
    "line": number("The line of the file."),
    "lost": by_name({"type": "integer"}, "How many rows of each table would be lost."),
    "missing": many(text()),
    "obstacles": many(text()),
    "outdated": many({"type": "object"}),
    "pending": many(text()),
    "pid": number("The process."),
    "reason": text(),
    "remaining": many(text()),
    "revision": maybe(text()),
    "role": text("The role of the database, or of the repository where the guard speaks."),
    "server": text(),
    "setting": text(),
    "sqlstate": maybe(text("What the server calls its error.")),
    "table": text(),
    "tables": many(text()),
    "versions": many(number("")),
    "waiting": many(text()),
}
_ERROR: dict[str, Schema] = {
    "error": text("The class of the error; `diwa_schema` raises the same in Python.", *classes()),
    "exit_code": number("What the process ends with."),
    "what": text("What happened."),
    "untouched": text("What is as it was before."),
    "next_step": text("What to do next, usually a command."),
}
_BEYOND = {**{name: schema for name, schema in VERDICT.items() if name not in FACTS}, **FACTS}
ERROR = record({**_ERROR, **_BEYOND}, optional=_BEYOND, meaning=summary(DiwaSchemaError))

SCRIPT = record(
    {"dialect": text("Which database it is for.", "postgresql", "sqlite"), "sql": text("The whole script.")}
)
_DONE = Document("done, or nothing to do", record(REPORT))
_OUTCOME = Document(
    "for each target, a line as soon as it is known, and another one if its result changes at the end",
    whole(Outcome, error=maybe(ERROR)),
)
_SUMMARY = Document(
    "the last line",
    record(
        {
            "fleet": text("The verb.", "status", "plan", "upgrade", "check", "adopt", "digest"),
            "targets": number("How many targets there were."),
            "counts": by_name({"type": "integer"}, "How many of them have each result."),
            "notes": many(text(), "What else is to be known, a sentence each."),
            "seconds": {"description": "How long all of it took.", "type": "number"},
            "exit_code": number("What the process ends with."),
        }
    ),
)
_FLEET = (_OUTCOME, _SUMMARY)
_FILES = many(text(), "The files, from the root of the checkout.")


def _ledger() -> dict[str, Schema]:
    """Return what an entry of the ledger holds, as its columns are declared."""
    from diwa_schema.database.ledger import _COLUMNS

    kinds = {"bigint": "integer", "integer": "integer"}
    found: dict[str, Schema] = {"schema": text("The schema of the tables; main on SQLite."), "id": number("")}
    for name, declared in _COLUMNS.items():
        kind = declared.partition(" ")[0]
        # SQLite has no truth values.
        plain = {"type": kinds.get(kind, "string")} if kind != "boolean" else {"enum": [False, True, 0, 1]}
        found[name] = plain if "NOT NULL" in declared else maybe(plain)
    return found


_LEDGER = _ledger()
_RUNNING = {
    name: _LEDGER[name] for name in ("run_id", "kind", "revision", "started_at", "os_user", "host", "pid")
}
_BYPASSED = {
    name: _LEDGER[name]
    for name in ("run_id", "started_at", "kind", "repository", "os_user", "host", "bypass", "bypass_reason")
}
_ENDED = {
    name: _LEDGER[name]
    for name in (
        *("run_id", "revision", "direction", "kind", "outcome", "started_at", "finished_at"),
        *("os_user", "host", "error_class", "sqlstate"),
    )
}
_OBSERVED: dict[str, Schema] = {
    "observed": maybe(many(whole(Observed), "What each revision does; null where nothing was observed.")),
    "unobserved": _described(
        {"anyOf": [ERROR, {"type": "string"}, {"type": "null"}]},
        "Why nothing was observed; null where it was.",
    ),
}

_STATUS = Document(
    "where the database stands",
    whole(
        Status,
        bypassed=many(record({**_BYPASSED, "revisions": many(maybe(text()))})),
        unfinished=many(record({**_RUNNING, "running": flag("Whether a run is at work.")})),
        ended=maybe(record(_ENDED)),
        waiting=many(WAITING),
        releases=maybe(many(whole(Connected))),
        seen=maybe(many(whole(Seen))),
        current=flag("Whether this release can work with it and nothing is pending."),
    ),
)

DOCUMENTS: dict[str, tuple[Document, ...]] = {
    "status": (_STATUS,),
    "doctor": (
        Document(
            "what was found",
            record(
                {
                    "fit": flag("Whether there is nothing but notes."),
                    "findings": many(whole(Finding), "What was found, the worst first."),
                }
            ),
        ),
    ),
    "export": (
        Document(
            "the files of a format",
            record(
                {
                    "format": text("The format."),
                    "files": by_name({"type": "string"}, "The text of each file."),
                    "output": maybe(
                        text("The folder that they were written into; null where they were not.")
                    ),
                }
            ),
        ),
    ),
    "plan": (
        Document("what an upgrade would do", record(PLAN)),
        Document("with --observe", record({**PLAN, **_OBSERVED})),
    ),
    "upgrade": (_DONE, Document("with --sql", SCRIPT)),
    "downgrade": (_DONE, Document("with --sql", SCRIPT)),
    "check": (
        Document(
            "what differs",
            record(
                {
                    "differences": many(DIFFERENCE, "What differs, notes included."),
                    "drift": number("How many of them are more than notes."),
                    "revision": maybe(
                        text("The revision that the database was compared with; null for base.")
                    ),
                    "head": text("The last revision of this release."),
                    "pending": many(text(), "The revisions between both, which were not compared."),
                }
            ),
        ),
    ),
    "history": (
        Document(
            "the revisions of this release",
            record(
                {
                    "revisions": many(
                        record(
                            {
                                "revision": text("Its id."),
                                "slug": text("Its short name."),
                                "phase": text("", "expand", "contract"),
                                "floor": maybe(text("The oldest release that it lets live.")),
                            }
                        ),
                        "The revisions, in order.",
                    )
                }
            ),
        ),
        Document(
            "with --applied", record({"entries": many(record(_LEDGER), "The ledger, oldest entry first.")})
        ),
    ),
    "adopt": (
        _DONE,
        Document(
            "with --plan",
            record(
                {
                    "database": text("The masked URL."),
                    "variant": whole(Variant),
                    "steps": many(text(), "What would be done, in words."),
                    "differences": many(DIFFERENCE, "What has to be put right before."),
                    "upgrade": maybe(record(PLAN, meaning="The upgrade after it.")),
                }
            ),
        ),
    ),
    "violations": (
        Document(
            "the rows that break a rule",
            record(
                {
                    "violations": many(whole(BrokenRule), "The rules that rows break."),
                    "rows": number("How many rows there are, of all rules."),
                }
            ),
        ),
    ),
    "validate": (
        Document(
            "what the database keeps from now on",
            record(
                {
                    **REPORT,
                    "added": many(text(), "The rules that it keeps now."),
                    "waiting": many(WAITING, "Those that rows still break."),
                }
            ),
        ),
    ),
    "enable-vector": (_DONE,),
    "disable-vector": (_DONE,),
    "index": (
        _DONE,
        Document(
            "list",
            record(
                {
                    "indexes": many(
                        record(
                            {
                                "name": text(),
                                "table": text(),
                                "serves": text("What it is good for."),
                                "state": maybe(
                                    text(
                                        "Whether it is there; null if no database is named.",
                                        "there",
                                        "not valid",
                                        "absent",
                                    )
                                ),
                            }
                        ),
                        "The indexes that can be built.",
                    )
                }
            ),
        ),
    ),
    "roles": (Document("what differs, or with --apply what was changed", whole(Roles)),),
    "stamp": (_DONE,),
    "protect": (Document("done", record({**REPORT, "protected": {"const": True}})),),
    "unprotect": (Document("done", record({**REPORT, "protected": {"const": False}})),),
    "drop": (_DONE,),
    "completion": (
        Document(
            "the code",
            record({"shell": text("The shell.", "bash", "zsh", "fish"), "code": text("The code.")}),
        ),
    ),
    "guard": (Document("the verdict", record(VERDICT, meaning=summary(Verdict))),),
    "repo-check": (
        Document(
            "what was found",
            record(
                {
                    "role": text("What the repository is.", "owner", "consumer", "unknown"),
                    "repository": text("The name of the repository."),
                    "base": text("What was compared with."),
                    "errors": number("How many findings have to go."),
                    "warnings": number("How many others there are."),
                    "findings": many(whole(Remark), "What was found, by file."),
                    "notes": many(text(), "What else is to be known."),
                }
            ),
        ),
    ),
    "init": (
        Document(
            "what is missing",
            record(
                {
                    "repository": text("The name of the repository."),
                    "files": many(text(), "The files that are missing."),
                    "diff": text("The same as a diff."),
                    "notes": many(text(), "What has to be added by hand."),
                    "written": flag("Whether they were written."),
                }
            ),
        ),
    ),
    "mix": (
        _DONE,
        Document("ecto.migrations", _STATUS.schema),
        Document("ecto.drop of a test database", record({"kind": {"const": "dropped"}})),
        Document("ecto.drop of an absent database", record({"kind": {"const": "nothing"}})),
    ),
    "revision": (
        Document(
            "what was written",
            record(
                {
                    "revisions": many(
                        record(
                            {
                                "revision": text("Its id."),
                                "down_revision": maybe(text("The one before it.")),
                                "title": text("What it does."),
                                "file": text("Its file."),
                            }
                        ),
                        "The revisions that were written or moved.",
                    ),
                    "generated": _FILES,
                }
            ),
        ),
    ),
    "lint": (
        Document(
            "what was found",
            record(
                {
                    "findings": many(whole(LintFinding), "What was found."),
                    "revisions": number("How many revisions were looked at."),
                    "not_looked_at": many(text(), "The rules that need squawk, where it is not installed."),
                }
            ),
        ),
    ),
    "prove": (
        Document(
            "what does not hold",
            record(
                {
                    "revisions": many(REVISION, "What was looked at."),
                    "dialects": many(text("", "postgresql", "sqlite"), "On which databases."),
                    "failures": many(
                        record(
                            {
                                "revision": REVISION,
                                "dialect": text("Which database it is for.", "postgresql", "sqlite"),
                                "part": text("What does not hold."),
                                "why": text("Why."),
                            }
                        ),
                        "What does not hold.",
                    ),
                }
            ),
        ),
    ),
    "release": (
        Document(
            "what is released",
            record(
                {
                    "version": text("The release."),
                    "date": text("Its day."),
                    "revisions": many(REVISION, "What it freezes."),
                    "files": _FILES,
                }
            ),
        ),
    ),
    **{f"fleet {verb}": _FLEET for verb in ("status", "plan", "upgrade", "check", "digest", "adopt")},
    "fleet create": (_DONE,),
    "fleet copy": (
        Document(
            "done",
            record(
                {
                    **REPORT,
                    "source": text("The database that was copied, masked."),
                    "tables": many(whole(Moved), "The tables that were copied."),
                    "rows": number("How many rows all tables have."),
                    "left": many(text(), "The tables that were not copied."),
                    "waits": by_name({"type": "integer"}, "How many rows break a rule that waits."),
                    "archived": number("How many embeddings went to the archive."),
                }
            ),
        ),
    ),
    "fleet drop": (_DONE,),
}
"""By command, the documents that it prints when it does not fail."""


def schema(command: str) -> Schema:
    """Return the JSON Schema of what a command prints."""
    found = [{"title": one.title, **one.schema} for one in DOCUMENTS[command]]
    head = {"$schema": DIALECT, "title": f"diwa-schema {command} --json"}
    return {**head, **found[0], "title": head["title"]} if len(found) == 1 else {**head, "anyOf": found}


def files() -> dict[str, Schema]:
    """Return the schemas by the name of their file."""
    made = {_file(command): schema(command) for command in DOCUMENTS}
    return {**made, "error.json": {"$schema": DIALECT, "title": "An error of diwa-schema", **ERROR}}


def _file(command: str) -> str:
    return f"{command.replace(' ', '-')}.json"


def page() -> str:
    """Return the page: how documents are printed, and the fields of each with a link to its schema."""
    return "\n\n".join(_parts()) + "\n"


def _parts() -> Iterator[str]:
    yield "# Documents of --json"
    yield (
        "With `--json` a command prints one document on stdout, and exit codes are those of"
        " [the command without it](exit-codes.md). `fleet` prints a document a line: one for each target as soon as"
        " it is known, and a summary as the last. A command that fails prints an error instead. After Ctrl-C or a"
        " signal there is no document, except for the summary of a fleet."
    )
    yield "Each schema is JSON Schema 2020-12 and allows no other properties. A later release may add some."
    yield "## error"
    yield f"[error.json](json/error.json). {ERROR['description']}"
    yield _table({**ERROR, "properties": _ERROR})
    names = ", ".join(f"`{name}`" for name in _BEYOND)
    yield f"Some have more facts: {names}."
    seen: dict[int, str] = {}
    for command in _ordered():
        yield f"## {command}"
        yield f"[{_file(command)}](json/{_file(command)})"
        for one in DOCUMENTS[command]:
            title = f"{one.title[0].upper()}{one.title[1:]}"
            first = seen.setdefault(id(one.schema), command)
            if first != command:
                yield f"{title}: as for [{first}](#{first.replace(' ', '-')})."
                continue
            yield f"{title}:"
            yield _table(one.schema)


def _ordered() -> list[str]:
    """Return the commands in the order of the parser, the verbs of a fleet last."""
    named = [name for name, _ in commands(build_parser())]
    return sorted(
        DOCUMENTS, key=lambda name: (named.index(name.partition(" ")[0]), list(DOCUMENTS).index(name))
    )


def _table(described: Schema) -> str:
    rows = [
        f"| `{name}` | {_kind(one)} | {one.get('description', '').replace('|', chr(92) + '|')} |"
        for name, one in described["properties"].items()
    ]
    return "\n".join(["| field | type | meaning |", "|---|---|---|", *rows])


def _kind(one: Schema) -> str:
    """Return the type of a field in a few words."""
    if "anyOf" in one:
        return " or ".join(dict.fromkeys(_kind(each) for each in one["anyOf"]))
    if "enum" in one or "const" in one:
        words = one.get("enum", [one.get("const")])
        return (
            "one of the errors" if "UsageError" in words else ", ".join(f"`{_word(each)}`" for each in words)
        )
    if one["type"] == "array":
        return f"list of {_kind(one['items'])}"
    return {"string": "text", "integer": "number"}.get(one["type"], str(one["type"]))


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
