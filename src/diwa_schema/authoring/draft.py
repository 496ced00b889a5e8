"""The file of a new revision, in the checkout of this package that is worked on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from diwa_schema import generate
from diwa_schema.errors import UsageError
from diwa_schema.migrations import manifest
from diwa_schema.repository import own
from diwa_schema.repository.git import OWN, Git, identify

_TIME = "%Y%m%d%H%M%S"


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


def draft(message: str, *, contract: bool = False, directory: Path | None = None) -> Draft:
    """Write the file of a revision after the last one, and the manifest that lists it; snapshots stay as they are.

    Args:
        message: What the revision does, in one line: the first of its docstring, without the full stop.
        contract: Whether code that runs today breaks with it; its floor is then itself.
        directory: A directory in the checkout; the working directory by default.

    Raises:
        UsageError: It is no checkout of this package, the package that runs is not that of the checkout, the message
            is none, or the history that is there cannot be read or has two ends. Nothing is written.
    """
    from alembic.script import ScriptDirectory

    text = _message(message)
    _refuse_elsewhere(directory)
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


def _refuse_elsewhere(directory: Path | None) -> None:
    """Refuse where the revision would be written anywhere but in the checkout that is worked on."""
    git = Git.open(directory)
    _, name = identify(git.root)
    if name != OWN:
        raise UsageError(
            f"{git.root} is a checkout of {name}; revisions are written in one of {OWN}.",
            next_step=f"Run: cd ../{OWN}",
        )
    if (git.root / own.VERSIONS).resolve() != manifest.VERSIONS.resolve():
        raise UsageError(
            f"The {OWN} that runs is not that of {git.root}: it is in {manifest.DIRECTORY.parent}.",
            next_step=f"Run: pip install --editable {git.root}",
        )


def _after(head: str) -> str:
    """Return an id of now, or, where the clock is behind the history, the second after its end."""
    now = datetime.now(UTC).replace(tzinfo=None)
    last = datetime.strptime(head, _TIME)  # noqa: DTZ007 - ids are UTC
    return max(now, last + timedelta(seconds=1)).strftime(_TIME)
