"""The history in this package's own repository: released revisions never change, new ones come last."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator
from datetime import datetime

from diwa_schema.errors import UsageError
from diwa_schema.migrations.manifest import checksum_of, parse
from diwa_schema.repository import changes
from diwa_schema.repository.changes import MergeBase
from diwa_schema.repository.git import Git
from diwa_schema.repository.remarks import Level, Remark

MIGRATIONS = "src/diwa_schema/migrations"
VERSIONS = f"{MIGRATIONS}/versions"
MANIFEST = f"{MIGRATIONS}/manifest.json"
FILE = re.compile(r"(\d{14})_[a-z0-9_]+\.py")


def findings(git: Git, base: MergeBase) -> Iterator[Remark]:
    """Yield the faults of the history: changed released revisions, and new ids out of order."""
    yield from _released(git, base)
    yield from _order(git, base)


def _released(git: Git, base: MergeBase) -> Iterator[Remark]:
    content = git.content(f"{base.tree}:{MANIFEST}")
    try:
        manifest = parse(json.loads(content)) if content is not None else ()
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{MANIFEST} at the base cannot be read: {error}", next_step="Name another base: --base BRANCH"
        ) from None
    for revision in manifest:
        if not revision.released:
            continue
        path = f"{VERSIONS}/{revision.file}"
        found, staged = changes.read(git, path), git.content(f":{path}")
        if found is None or staged is None:
            yield _fault(path, f"the released revision {revision.revision} is missing")
        elif {checksum_of(found), checksum_of(staged)} != {revision.sha256}:
            yield _fault(path, f"the released revision {revision.revision} ({revision.released}) was changed")


def _order(git: Git, base: MergeBase) -> Iterator[Remark]:
    tree = base.tip or base.tree
    listed = git.ask("ls-tree", "-r", "--name-only", "--full-tree", tree, "--", f"{VERSIONS}/")
    before = {posixpath.basename(path) for path in (listed or "").splitlines() if _is_revision(path)}
    now = {posixpath.basename(entry.path) for entry in git.tracked() if _is_revision(entry.path)}
    last = max((_id(name) for name in before & now), default="")
    seen: dict[str, str] = {}
    for name in sorted(now):
        path = f"{VERSIONS}/{name}"
        identity = _id(name)
        if not _is_time(identity):
            yield _fault(
                path, "the name of a revision file is a UTC time and a slug, such as 20260131120000_add_it.py"
            )
        elif other := seen.get(identity):
            yield _fault(path, f"its id is also that of {other}", _behind(base))
        elif name not in before and identity <= last:
            yield _fault(path, f"its id is not above {last}, the last one of '{base.name}'", _behind(base))
        seen.setdefault(identity, name)


def _is_revision(path: str) -> bool:
    return posixpath.dirname(path) == VERSIONS and path.endswith(".py") and not path.endswith("__init__.py")


def _id(name: str) -> str:
    match = FILE.fullmatch(name)
    return match[1] if match else ""


def _is_time(identity: str) -> bool:
    try:
        datetime.strptime(identity, "%Y%m%d%H%M%S")  # noqa: DTZ007 - only its form is looked at
    except ValueError:
        return False
    return True


def _behind(base: MergeBase) -> str:
    return f"Move it behind the others: git merge {base.name}, then diwa-schema revision --rebase"


def _fault(path: str, what: str, fix: str = "") -> Remark:
    fix = fix or (
        "Write a new revision instead; a released revision never changes." if "released" in what else ""
    )
    return Remark(
        Level.ERROR,
        path,
        f"{what}.",
        fix or ("Give the file the present time as its id: date -u +%Y%m%d%H%M%S"),
    )
