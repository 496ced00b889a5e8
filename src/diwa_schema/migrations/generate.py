"""Write the manifest from the revision files: ``python -m diwa_schema.migrations.generate [--check]``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from diwa_schema.migrations import manifest


def document(release: str | None = None) -> dict[str, Any]:
    """Return what the manifest has to say about the revision files as they are.

    Args:
        release: The version of the package that is being released; revisions without one get it.
    """
    from alembic.script import ScriptDirectory

    from diwa_schema.models import Base

    script = ScriptDirectory(str(manifest.DIRECTORY))
    released = _released()
    revisions = []
    for step in reversed(list(script.walk_revisions())):
        module = step.module
        path = manifest.VERSIONS / f"{module.__name__}.py"
        path = next(manifest.VERSIONS.glob(f"{step.revision}_*.py"), path)
        entry = manifest.Revision(
            revision=step.revision,
            down_revision=step.down_revision if isinstance(step.down_revision, str) else None,
            slug=path.stem.partition("_")[2],
            file=path.name,
            sha256=manifest.checksum(path),
            phase=module.phase,
            floor=module.floor,
            transactional=getattr(module, "transactional", True),
            irreversible=getattr(module, "irreversible", None),
            drops=tuple(getattr(module, "drops", ())),
            stalls=getattr(module, "stalls", None),
            released=released.get(step.revision) or release,
        )
        revisions.append(asdict(entry))
    tables = [table.name for table in Base.metadata.sorted_tables]
    return {"tables": tables, "revisions": revisions}


def render(content: dict[str, Any]) -> str:
    """Return a manifest document as the text of its file."""
    return json.dumps(content, indent=1) + "\n"


def _released() -> dict[str, str | None]:
    if not manifest.PATH.exists():
        return {}
    content = json.loads(manifest.PATH.read_text(encoding="utf-8"))
    return {entry["revision"]: entry.get("released") for entry in content["revisions"]}


def main(argv: Sequence[str] | None = None) -> int:
    """Write the manifest, or with ``--check`` only say whether it is up to date."""
    parser = argparse.ArgumentParser(prog="python -m diwa_schema.migrations.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the manifest is stale")
    parser.add_argument("--release", metavar="VERSION", help="mark the revisions that have no version yet")
    args = parser.parse_args(argv)
    text = render(document(args.release))
    if args.check:
        stale = not manifest.PATH.exists() or manifest.PATH.read_text(encoding="utf-8") != text
        if stale:
            sys.stderr.write("manifest.json is stale; type: python -m diwa_schema.migrations.generate\n")
        return int(stale)
    manifest.PATH.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
