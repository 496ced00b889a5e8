"""Adding a rule about rows to the database if no row breaks it, while the table is in use.

PostgreSQL enforces an unvalidated check on every written row, even if the row already broke the rule and the write
changes another column. The check is therefore not added while a row breaks the rule: the rule waits, the revision is
applied, and `diwa-schema validate` adds it later. SQLite enforces none: it would have to copy each table.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import sqlalchemy as sa
from alembic import op
from sqlalchemy.exc import IntegrityError

from diwa_schema.errors import UsageError
from diwa_schema.migrations.renamed import as_named, renames
from diwa_schema.migrations.steps import lookup
from diwa_schema.migrations.steps.constraints import add_check
from diwa_schema.migrations.steps.indexes import create_index_concurrently, drop_index_concurrently
from diwa_schema.migrations.steps.pace import Ground, dialect, ground, offline, operations, step
from diwa_schema.models.rule import Places, Rule, broken_by
from diwa_schema.models.rules import ever_kept
from diwa_schema.names import code


@step
def keep_rules(*names: str) -> None:
    """Let PostgreSQL enforce rules of `models/rules.py`, each only if no row breaks it; the others wait.

    An enforced rule stays as it is. No row is changed.

    Args:
        names: The rules.
    """
    keep(map(_named, names))


@step
def release_rules(*names: str) -> None:
    """Stop enforcing rules: drop their constraints and indexes, if they exist.

    Args:
        names: The rules.
    """
    if dialect() == "postgresql":
        for rule in map(_named, names):
            _release(rule)


def _named(name: str) -> Rule:
    """Return a rule that a revision names.

    Raises:
        UsageError: No rule has that name.
    """
    try:
        return ever_kept(name)
    except KeyError:
        raise UsageError(
            f"A revision names the rule {name}, and models/rules.py has no rule of that name.",
            next_step="Put it into RETIRED of models/rules.py as it was: every run of the history adds it by its name.",
        ) from None


def keep(rules: Iterable[Rule]) -> None:
    """Make PostgreSQL enforce rules, as `keep_rules` does."""
    if dialect() != "postgresql":
        return
    for rule in rules:
        if offline():
            op.execute(f"DO {lookup.verbatim(code(_block(rule)))}")
        else:
            _keep(ground(), rule)


def _block(rule: Rule) -> str:
    """Return the code that adds a rule if no row breaks it, for SQL that runs later."""
    table, name = lookup.quoted(rule.table), lookup.quoted(rule.name)
    add = f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({rule.condition})"
    if rule.unique:
        add = f"CREATE UNIQUE INDEX {name} ON {table} ({', '.join(rule.unique)})"
    return f" BEGIN IF NOT EXISTS ({rule.rows(Places())}) THEN {add}; END IF; END "


def _keep(on: Ground, written: Rule) -> None:
    rule = on.pace.look(partial(_as_named, written)) if renames() else written
    broken = on.pace.long(lambda connection: _broken(connection, rule))
    if broken:
        on.pace.say(f"rule {rule.name} on {rule.table} waits: {broken_by(broken)}")
        return
    try:
        if rule.unique:
            create_index_concurrently(rule.name, rule.table, rule.unique, unique=True)
        else:
            add_check(rule.name, rule.table, rule.condition)
    except IntegrityError:
        # A row that breaks it was written after the count; the added parts of the rule are gone again.
        if not on.live:
            raise
        on.pace.say(f"rule {rule.name} on {rule.table} waits: a row that breaks it was written meanwhile")


def _as_named(rule: Rule, connection: sa.Connection) -> Rule:
    """Return a rule with the names that its columns have at this point of the history."""
    return as_named(rule, lookup.column_types(connection, rule.table))


def _broken(connection: sa.Connection, rule: Rule) -> int:
    places = Places(lookup.current_schema(connection))
    return int(connection.scalar(sa.text(lookup.verbatim(rule.count(places)))) or 0)


def _release(rule: Rule) -> None:
    if offline():
        if rule.unique:
            op.drop_index(rule.name, rule.table, if_exists=True)
        else:
            op.drop_constraint(rule.name, rule.table, if_exists=True)
    elif rule.unique:
        drop_index_concurrently(rule.name, rule.table)
    else:
        ground().pace.short(
            lambda connection: operations(connection).drop_constraint(rule.name, rule.table, if_exists=True)
        )
