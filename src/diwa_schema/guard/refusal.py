"""The guard's question before every change of a schema, and its refusal."""

from __future__ import annotations

import os
import sys
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Self

from diwa_schema.errors import TYPED, Blocked, command
from diwa_schema.guard.evidence import REPOSITORIES, Evidence, Role, collect, shown
from diwa_schema.guard.verdict import (
    BYPASS_VALUES,
    BYPASS_VARIABLE,
    NEVER_BYPASSED,
    OWN_DATABASE,
    REASON_VARIABLE,
    Bypass,
    Operation,
    Verdict,
    decide,
)
from diwa_schema.terminal import fitted

COMMANDS = {
    Operation.CONVERT: "enable-vector",
    Operation.CREATE_ALL: "upgrade",
    Operation.DROP_ALL: "drop",
    Operation.ROLES: "roles --apply",
}


class OwnDatabase:
    """A database that this process created and will drop; every operation on it is allowed inside the block.

    No argument and no environment variable can name such a database: only code in this process can.

    Args:
        identity: The identity of the database, equal to the argument `database` of `ask`.
    """

    def __init__(self, identity: Hashable) -> None:
        self.identity = identity

    def __enter__(self) -> Self:
        """Allow every operation on this database."""
        _own.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        """End the permission."""
        _own.remove(self)


_own: list[OwnDatabase] = []


def ask(
    operation: Operation,
    *,
    repo: str | None = None,
    allow_core_migration: bool | None = None,
    private: str | None = None,
    directory: Path | None = None,
    database: Hashable | None = None,
    words: str = "",
) -> Verdict:
    """Ask whether an operation may run, and report the use of a bypass on stderr.

    Args:
        operation: The operation.
        repo: The repository that the caller names as its own.
        allow_core_migration: True allows a consumer, False ignores the environment, None reads
            ``ALLOW_CORE_MIGRATION``, which allows a consumer if it is exactly ``true`` or ``1``.
        private: The reason why nobody else can see the database; creating or upgrading it then needs no evidence.
        directory: The caller's directory; the working directory by default.
        database: The identity of the database, used to recognise a database of this process.
        words: The command for the refusal to offer, if the operation does not determine it.

    Raises:
        Blocked: The operation may not run. No connection was opened, and nothing was changed.
    """
    verdict = judge(
        operation,
        repo=repo,
        allow_core_migration=allow_core_migration,
        private=private,
        directory=directory,
        database=database,
    )
    if not verdict.allowed:
        raise refused(verdict, words)
    if verdict.bypass:
        sys.stderr.write(fitted(_bypassed(verdict, verdict.bypass), sys.stderr) + "\n")
    return verdict


def judge(
    operation: Operation,
    *,
    repo: str | None = None,
    allow_core_migration: bool | None = None,
    private: str | None = None,
    directory: Path | None = None,
    database: Hashable | None = None,
) -> Verdict:
    """Collect and decide like `ask`, but return a blocking verdict as well, and print nothing."""
    if private == OWN_DATABASE or _is_own(database):
        private = OWN_DATABASE if _is_own(database) else None
    if private is not None and decide(operation, (), private=private).allowed:
        return decide(operation, (), private=private)
    bypass, notes = _bypass_given(allow_core_migration)
    return decide(operation, collect(repo, directory), bypass, private=private, notes=notes)


def _is_own(database: Hashable | None) -> bool:
    return database is not None and any(token.identity == database for token in _own)


def refused(verdict: Verdict, words: str = "") -> Blocked:
    """Return the error for a blocking verdict; it names the evidence, the right way and the bypass."""
    again = TYPED.get()() or command(words or COMMANDS.get(verdict.operation, verdict.operation.value))
    return Blocked(
        "\n".join((_headline(verdict), *evidence_lines(verdict))),
        untouched="The command connected to nothing and changed nothing.",
        next_step="\n".join((*_right_way(verdict, again), *_way_past(verdict, again))),
        **verdict.as_dict(),
    )


def evidence_lines(verdict: Verdict) -> Iterator[str]:
    """Yield one line for every piece of evidence and for every note of a verdict."""
    yield "Evidence:" if verdict.evidence else "Evidence: none"
    width = max((len(_named(one)) for one in verdict.evidence), default=0)
    for one in verdict.evidence:
        yield f"  {_named(one):{width}}  {one.role or 'neutral':8}  {one.source}"
    yield from (f"Note: {note}" for note in verdict.notes)


def _named(one: Evidence) -> str:
    return one.name or "(unreadable)"


def _headline(verdict: Verdict) -> str:
    end = f"'{verdict.operation}' was not run."
    if verdict.role is Role.CONSUMER:
        return (
            f"[SAFETY BLOCK] Database migrations in '{verdict.repository}' are restricted: "
            f"it uses the schema, diwa-cloud owns it; {end}"
        )
    if _unread(verdict):
        return (
            "[SAFETY BLOCK] Database migrations are restricted here: a file that may name a consumer is not"
            f" readable; {end}"
        )
    return f"[SAFETY BLOCK] Database migrations are restricted here: the calling repository is unknown; {end}"


def _unread(verdict: Verdict) -> list[str]:
    return [one.source for one in verdict.evidence if one.role is Role.UNKNOWN]


def _right_way(verdict: Verdict, again: str) -> Iterator[str]:
    if verdict.role is Role.CONSUMER:
        yield from ("Run it in the repository that owns the schema:", "  cd ../diwa-cloud", f"  {again}")
    elif unread := _unread(verdict):
        yield from ("Fix it, then run the command again:", *(f"  {source}" for source in unread))
    else:
        yield f"Name the repository ({', '.join(REPOSITORIES)}), in one of these ways:"
        yield f"  {again} --repo NAME"
        yield "  export DIWA_REPO=NAME"
        yield '  [tool.diwa-schema] repo = "NAME" in pyproject.toml'


def _way_past(verdict: Verdict, again: str) -> Iterator[str]:
    if verdict.operation in NEVER_BYPASSED:
        yield f"No bypass covers '{verdict.operation}'."
        return
    yield "In an emergency, bypass the guard; the ledger records it:"
    yield f'  {BYPASS_VARIABLE}=true {REASON_VARIABLE}="why" {again}'


def _bypassed(verdict: Verdict, bypass: Bypass) -> str:
    name = repr(verdict.repository) if verdict.repository else "an unknown repository"
    reason = bypass.reason or "no reason was given"
    return f"[SAFETY BYPASS] '{verdict.operation}' in {name}: opened by {bypass.source} ({reason})."


def _bypass_given(allowed: bool | None) -> tuple[Bypass | None, tuple[str, ...]]:
    reason = shown(os.environ.get(REASON_VARIABLE, "").strip()) or None
    if allowed is True:
        return Bypass("allow_core_migration=True", reason), ()
    if allowed is False:
        return None, ()
    if allowed is not None:
        return None, (f"allow_core_migration={allowed!r:.40} is ignored: only True opens.",)
    value = os.environ.get(BYPASS_VARIABLE, "")
    if value in BYPASS_VALUES:
        return Bypass(f"{BYPASS_VARIABLE}={value}", reason), ()
    return None, (f"{BYPASS_VARIABLE}={value!r:.40} is ignored: only 'true' or '1' opens.",) if value else ()
