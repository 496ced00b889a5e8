"""Parsing PostgreSQL's own definitions of indexes, constraints and triggers."""

from __future__ import annotations

import re

from diwa_schema.drift.model import ForeignKey, Index, Key, Trigger
from diwa_schema.drift.scan import canonical, cut, names, plain, split

# Most definitions have these forms, which take a tenth of the time.
_NAMES = r"\(([a-z_0-9, ]+)\)"
_USUAL_INDEX = re.compile(rf"CREATE (?:UNIQUE )?INDEX \w+ ON [\w.]+ USING btree {_NAMES}")
_USUAL_KEY = re.compile(rf"PRIMARY KEY {_NAMES}")
_USUAL_FOREIGN_KEY = re.compile(
    rf"FOREIGN KEY {_NAMES} REFERENCES ([a-z_0-9]+){_NAMES}(?: ON DELETE (CASCADE|SET NULL|RESTRICT))?"
)
_METHOD = re.compile(r" USING (\w+) (?=\()")
_OPTIONS = re.compile(r" WITH (?=\()")
_PREDICATE = " WHERE "
_REFERENCES = re.compile(r" REFERENCES (?:ONLY )?(.+?)(?=\()")
_ACTION = r"(NO ACTION|RESTRICT|CASCADE|SET NULL(?: \(.*?\))?|SET DEFAULT(?: \(.*?\))?)"
_ON_UPDATE = re.compile(rf"ON UPDATE {_ACTION}")
_ON_DELETE = re.compile(rf"ON DELETE {_ACTION}")
_DEFERRABLE = re.compile(r"DEFERRABLE(?: INITIALLY DEFERRED)?")
_MOMENT = re.compile(r"CREATE (CONSTRAINT )?TRIGGER .*?(?=BEFORE |AFTER |INSTEAD OF )")
_ENABLED = {"O": "enabled", "D": "disabled", "R": "replica", "A": "always"}


def index(name: str, definition: str, *, unique: bool, valid: bool) -> Index:
    """Return an index from the output of `pg_get_indexdef`."""
    if usual := _USUAL_INDEX.fullmatch(definition):
        return Index(name, tuple(usual.group(1).split(", ")), unique=unique, valid=valid)
    found = _METHOD.search(definition)
    assert found, definition  # noqa: S101 - PostgreSQL always writes the method
    columns, rest = cut(definition, found.end())
    rest, _, predicate = rest.partition(_PREDICATE)
    with_options = _OPTIONS.search(rest)
    return Index(
        name,
        columns=names(columns),
        unique=unique,
        method=found.group(1),
        include=_include(rest),
        nulls_distinct="NULLS NOT DISTINCT" not in rest,
        options=tuple(sorted(split(cut(rest, with_options.end())[0]))) if with_options else (),
        predicate=canonical(predicate or None),
        valid=valid,
    )


def primary_key(name: str, definition: str) -> Key:
    """Return a primary key from the output of `pg_get_constraintdef`."""
    if usual := _USUAL_KEY.fullmatch(definition):
        return Key(name, tuple(usual.group(1).split(", ")))
    columns, rest = cut(definition)
    return Key(name, columns=names(columns), include=_include(rest), deferrable=_found(_DEFERRABLE, rest))


def foreign_key(name: str, definition: str, *, validated: bool, enforced: bool) -> ForeignKey:
    """Return a foreign key from the output of `pg_get_constraintdef`."""
    if usual := _USUAL_FOREIGN_KEY.fullmatch(definition):
        own, references, others, on_delete = usual.groups("NO ACTION")
        return ForeignKey(
            name,
            tuple(own.split(", ")),
            references,
            tuple(others.split(", ")),
            on_delete=on_delete,
            validated=validated,
            enforced=enforced,
        )
    columns, rest = cut(definition)
    target = _REFERENCES.match(rest)
    assert target, definition  # noqa: S101 - a foreign key refers to something
    ref_columns, rest = cut(rest, target.end())
    updates, deletes = _ON_UPDATE.search(rest), _ON_DELETE.search(rest)
    return ForeignKey(
        name,
        columns=names(columns),
        references=plain(target.group(1)),
        ref_columns=names(ref_columns),
        on_update=updates.group(1) if updates else "NO ACTION",
        on_delete=deletes.group(1) if deletes else "NO ACTION",
        match="FULL" if "MATCH FULL" in rest else "SIMPLE",
        deferrable=_found(_DEFERRABLE, rest),
        validated=validated,
        enforced=enforced,
    )


def trigger(name: str, definition: str, enabled: str, code: str | None) -> Trigger:
    """Return a trigger from the output of `pg_get_triggerdef` and the code of its function."""
    head = _MOMENT.match(definition)
    assert head, definition  # noqa: S101 - every trigger has its moment
    moment, _, action = definition[head.end() :].partition(" ON ")
    # The table's name ends where the first keyword of the action begins.
    begins = re.search(r"(?:FROM |NOT DEFERRABLE|DEFERRABLE|REFERENCING |FOR EACH )", action)
    return Trigger(
        name,
        moment=moment,
        action=action[begins.start() :] if begins else action,
        constraint=bool(head.group(1)),
        enabled=_ENABLED[enabled],
        code=code,
    )


def _include(rest: str) -> tuple[str, ...]:
    at = rest.find(" INCLUDE (")
    return names(cut(rest, at)[0]) if at >= 0 else ()


def _found(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.search(text.replace("NOT DEFERRABLE", ""))
    return found.group() if found else None
