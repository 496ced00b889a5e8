"""The file of a new revision, in the checkout of this package that is worked on."""

from __future__ import annotations

import sys
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from alembic.config import CommandLine

from diwa_schema import generate, guard
from diwa_schema.errors import Blocked, DiwaSchemaError, UsageError
from diwa_schema.migrations import manifest
from diwa_schema.repository import own
from diwa_schema.repository.git import OWN, Git, identify

_TIME = "%Y%m%d%H%M%S"
_INSTEAD = (
    f"For the shared schema: cd ../{OWN}, then run: diwa-schema revision -m TEXT\n"
    "For tables of the application's own: point alembic at a history of its own, with the include_name and"
    " include_object of diwa_schema.autogenerate in its env.py."
)


@dataclass(frozen=True, slots=True)
class Draft:
    """A revision that was begun.

    Args:
        revision: Its id.
        down_revision: The revision that it goes on from.
        path: Its file.
    """

    revision: str
    down_revision: str | None
    path: Path


def draft(message: str, *, contract: bool = False) -> Draft:
    """Write the file of a revision after the last one, and the manifest that lists it; snapshots stay as they are.

    Args:
        message: What the revision does, in one line: the first of its docstring, without the full stop.
        contract: Whether code that runs today breaks with it; its floor is then itself.

    Raises:
        Blocked: The working directory is a consumer's. Nothing is written.
        UsageError: It is in no checkout of this package, the package that runs is not that of the checkout, the
            message is none, or the history that is there cannot be read or has two ends. Nothing is written.
    """
    from alembic.script import ScriptDirectory

    text = _message(message)
    refuse_elsewhere()
    try:
        script = ScriptDirectory(str(manifest.DIRECTORY), messaging_opts={"quiet": True})
        heads = script.get_heads()
    except Exception as error:
        raise UsageError(
            f"The history cannot be read: {type(error).__name__}: {error}", next_step="Run: diwa-schema lint"
        ) from error
    if len(heads) > 1:
        raise UsageError(
            f"The history has {len(heads)} ends: {', '.join(sorted(heads))}.",
            next_step="Let the later one go on from the other: give it its id as down_revision, and an id of now.",
        )
    (head,) = heads
    revision = _after(head)
    before = manifest.PATH.read_bytes()
    phase, floor = ("contract", revision) if contract else ("expand", None)
    written = script.generate_revision(revision, text, head=head, phase=phase, floor=floor)
    path = Path(written.path)  # type: ignore[union-attr]  # it is None only where its environment decides so
    try:
        manifest.PATH.write_text(generate.render(generate.document()), encoding="utf-8")
    except BaseException as error:
        path.unlink()
        manifest.PATH.write_bytes(before)
        if isinstance(error, AttributeError):
            raise UsageError(
                f"The history that is there cannot be listed in the manifest: {error}.",
                next_step="Run: diwa-schema lint",
            ) from error
        raise
    return Draft(revision, head, path)


def _message(message: str) -> str:
    text = message.strip().removesuffix(".")
    if not any(letter.isalnum() for letter in text):
        raise UsageError("A revision says what it does.", next_step='Say it: -m "Let a memory have a mood"')
    if not text.isprintable() or "\\" in text or '"' in text:
        raise UsageError(
            "The message becomes a docstring: one line, without backslashes and double quotes.",
            next_step='Say it without them: -m "Let a memory have a mood"',
        )
    return text


def admit() -> None:
    """Let Alembic write a file into the history, or refuse it as `refuse_elsewhere` does.

    The template of a revision calls it before anything is rendered. `alembic revision` and `alembic merge` write
    without running env.py, so the guard that stands there does not see them.
    """
    try:
        refuse_elsewhere()
    except DiwaSchemaError as error:
        if all(frame.f_code is not CommandLine.run_cmd.__code__ for frame, _ in traceback.walk_stack(None)):
            raise
        sys.stderr.write(f"{error}\n")
        raise SystemExit(error.exit_code) from None


def refuse_elsewhere() -> None:
    """Refuse a revision that would be written anywhere but into the checkout that is worked on.

    Raises:
        Blocked: The working directory is a consumer's.
        UsageError: It is in no checkout of this package, or the package that runs is another one.
    """
    verdict = guard.judge(guard.Operation.UPGRADE)
    if verdict.role is guard.Role.CONSUMER:
        raise Blocked(
            f"[SAFETY BLOCK] Revisions of the shared schema are not written in '{verdict.repository}': it uses the"
            " schema.\n" + "\n".join(guard.evidence_lines(verdict)),
            untouched="Nothing was written.",
            next_step=_INSTEAD,
        )
    git = Git.open()
    _, name = identify(git.root)
    if name != OWN:
        raise UsageError(
            f"{git.root} is a checkout of {name}; revisions of the shared schema are written in one of {OWN}.",
            untouched="Nothing was written.",
            next_step=_INSTEAD,
        )
    if (git.root / own.VERSIONS).resolve() != manifest.VERSIONS.resolve():
        raise UsageError(
            f"The {OWN} that runs is not that of {git.root}: it is in {manifest.DIRECTORY.parent}.",
            untouched="Nothing was written.",
            next_step=f"Run: pip install --editable {git.root}",
        )


def _after(head: str) -> str:
    """Return an id of now, or, where the clock is behind the history, the second after its end."""
    now = datetime.now(UTC).replace(tzinfo=None)
    last = datetime.strptime(head, _TIME)  # noqa: DTZ007 - ids are UTC
    return max(now, last + timedelta(seconds=1)).strftime(_TIME)
