"""The printed SQL of released revisions: recorded at the release, and compared from then on.

The checksum of a revision covers only its file. The steps and models that the file uses keep changing, so a released
revision could do something different in the next database under the same id. Only a checkout of this package makes the
comparison, so the record is not part of the wheel.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from diwa_schema.errors import CheckFailed, UsageError
from diwa_schema.migrations import manifest
from diwa_schema.run.script import alone

if TYPE_CHECKING:
    from diwa_schema.migrations.manifest import Revision

PATH = manifest.DIRECTORY / "printed.json"
_ACCEPT = "python -m diwa_schema.generate --accept REVISION --because TEXT"
_UNTOUCHED = "Nothing was written."


class Printed(NamedTuple):
    """The record of a revision.

    Args:
        postgresql: The SHA-256 of its printed SQL for PostgreSQL, upgrade and downgrade.
        sqlite: The same for SQLite.
        accepted: The reason of each later record.
    """

    postgresql: str
    sqlite: str
    accepted: tuple[str, ...] = ()


def load() -> dict[str, Printed]:
    """Return the records, by revision.

    Raises:
        UsageError: The file cannot be read.
    """
    if not PATH.is_file():
        return {}
    try:
        return {
            revision: Printed(entry["postgresql"], entry["sqlite"], tuple(entry.get("accepted", ())))
            for revision, entry in json.loads(PATH.read_bytes()).items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{PATH.name} cannot be read: {error}.",
            untouched=_UNTOUCHED,
            next_step=f"Take it back: git checkout -- {PATH}",
        ) from None


def expected(
    revisions: Sequence[Revision],
    *,
    fresh: Collection[str] = (),
    accept: Collection[str] = (),
    because: str | None = None,
) -> str:
    """Return the expected text of the file.

    Args:
        revisions: The whole history.
        fresh: The ids of the revisions of this release.
        accept: The ids of released ones that may print another text.
        because: The reason why no database notices.

    Raises:
        CheckFailed: A released revision prints another text, and nobody has accepted it.
        UsageError: An accepted revision lacks a reason, or needs no acceptance.
    """
    if bool(accept) != bool(because and because.strip()):
        raise UsageError(
            "--accept names a revision, and --because says why: one needs the other.",
            untouched=_UNTOUCHED,
            next_step=f"Run: {_ACCEPT}",
        )
    known, found, faults, changed = load(), {}, [], set()
    for one in revisions:
        if one.revision in fresh:
            found[one.revision] = _print(one)
        elif one.released:
            before = known.get(one.revision)
            now = found[one.revision] = _print(one)
            if before is None:
                faults.append(f"{one.revision} ({one.released}): its printed text was never recorded")
                continue
            found[one.revision] = before
            if where := [
                name for name in ("postgresql", "sqlite") if getattr(before, name) != getattr(now, name)
            ]:
                changed.add(one.revision)
                if one.revision not in accept:
                    faults.append(f"{one.revision} ({one.released}) on {' and '.join(where)}: {one.slug}")
                found[one.revision] = now._replace(accepted=(*before.accepted, (because or "").strip()))
    if same := sorted(set(accept) - changed):
        raise UsageError(
            f"There is nothing to accept for {', '.join(same)}: no release contains the revision, or it"
            " prints the same text as before.",
            untouched=_UNTOUCHED,
            next_step="Leave it out, and run the command again.",
        )
    if faults:
        raise CheckFailed(
            "\n  ".join(["Released revisions print another text than at their release:", *faults]),
            untouched=_UNTOUCHED,
            next_step=(
                "Write a new revision, and keep the old form of the released step under its own name.\nIf"
                f" no database can notice the difference, run: {_ACCEPT}"
            ),
        )
    return _render(found)


def _print(step: Revision) -> Printed:
    return Printed(_digest(step, "postgresql"), _digest(step, "sqlite"))


def _digest(step: Revision, dialect: str) -> str:
    digest = sha256()
    for direction in ("upgrade", "downgrade"):
        try:
            text = alone(dialect, step, direction)
        except Exception as error:  # noqa: BLE001 - one that can no longer print has changed too
            text = f"{type(error).__name__}: {error}"
        digest.update(f"-- {direction}\n{text}\n".encode())
    return digest.hexdigest()


def _render(recorded: Mapping[str, Printed]) -> str:
    """Return the text of the file, one revision per line."""
    lines = [
        f" {json.dumps(revision)}: {json.dumps({name: value for name, value in one._asdict().items() if value})}"
        for revision, one in recorded.items()
    ]
    return "{\n" + ",\n".join(lines) + "\n}\n" if lines else "{}\n"
