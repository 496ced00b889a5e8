"""What the guard says when it refuses: who was recognised by what, the right way, and the bypass."""

from __future__ import annotations

from collections.abc import Iterator

from diwa_schema.errors import Blocked
from diwa_schema.guard.role import REPOSITORIES, Evidence, Role
from diwa_schema.guard.verdict import BYPASS_VARIABLE, NEVER_BYPASSED, REASON_VARIABLE, Operation, Verdict

COMMANDS = {Operation.CREATE_ALL: "upgrade", Operation.DROP_ALL: "drop"}


def refusal(verdict: Verdict) -> Blocked:
    """Return the error for a verdict that blocks; it names the evidence, the right way and the bypass."""
    return Blocked(
        "\n".join((_headline(verdict), *evidence_lines(verdict))),
        untouched="Nothing was connected to, nothing was changed.",
        next_step="\n".join((*_right_way(verdict), *_bypass(verdict))),
        **verdict.as_dict(),
    )


def evidence_lines(verdict: Verdict) -> Iterator[str]:
    """Yield one line for every piece of evidence and for every note of a verdict."""
    yield "Evidence:" if verdict.evidence else "Evidence: none"
    width = max((len(_shown(one)) for one in verdict.evidence), default=0)
    for one in verdict.evidence:
        yield f"  {_shown(one):{width}}  {one.role or 'neutral':8}  {one.source}"
    yield from (f"Note: {note}" for note in verdict.notes)


def _shown(one: Evidence) -> str:
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
            "[SAFETY BLOCK] Database migrations are restricted here: "
            f"what may name a consumer cannot be read; {end}"
        )
    return f"[SAFETY BLOCK] Database migrations are restricted here: no known repository is asking; {end}"


def _unread(verdict: Verdict) -> list[str]:
    return [one.source for one in verdict.evidence if one.role is Role.UNKNOWN]


def _right_way(verdict: Verdict) -> Iterator[str]:
    command = f"python -m diwa_schema {COMMANDS.get(verdict.operation, verdict.operation)}"
    if verdict.role is Role.CONSUMER:
        yield from ("Run it where the schema is owned:", "  cd ../diwa-cloud", f"  {command}")
    elif unread := _unread(verdict):
        yield from ("Mend it, then run the command again:", *(f"  {source}" for source in unread))
    else:
        yield f"Say which repository this is ({', '.join(REPOSITORIES)}), in one of these ways:"
        yield f"  {command} --repo NAME"
        yield "  export DIWA_REPO=NAME"
        yield '  [tool.diwa-schema] repo = "NAME" in pyproject.toml'


def _bypass(verdict: Verdict) -> Iterator[str]:
    command = COMMANDS.get(verdict.operation, verdict.operation)
    if verdict.operation in NEVER_BYPASSED:
        yield f"No bypass covers '{verdict.operation}'."
        return
    yield "Bypass, for an emergency only; it is written to the ledger:"
    yield f'  {BYPASS_VARIABLE}=true {REASON_VARIABLE}="why" python -m diwa_schema {command}'
