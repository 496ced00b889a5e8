"""Print what the changelog says of a release, or fail: a tag that the changelog does not describe is not published.

python .github/release_notes.py v0.2.0
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
VERSION = re.compile(r'^__version__ = "(.+)"$', re.MULTILINE)


def notes(tag: str, root: Path = ROOT) -> str:
    """Return the part of the changelog on a release.

    Args:
        tag: The tag of the release, as `v0.2.0`.
        root: The checkout.

    Raises:
        SystemExit: The tag is not that of the package's version, or the changelog has no dated part with a line on it.
    """
    found = VERSION.search((root / "src/diwa_schema/__init__.py").read_text())
    version = found[1] if found else "unknown"
    if tag != f"v{version}":
        raise SystemExit(
            f"The tag is {tag} and the package says {version}: tag what `diwa-schema release` wrote."
        )
    parts = re.split(r"^## ", (root / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    for part in parts[1:]:
        title, _, text = part.partition("\n")
        if re.fullmatch(rf"\[{re.escape(version)}\] - \d{{4}}-\d{{2}}-\d{{2}}", title) and "\n- " in text:
            return text.strip() + "\n"
    raise SystemExit(f"CHANGELOG.md says nothing of {version}: run `diwa-schema release {version}`.")


if __name__ == "__main__":
    sys.stdout.write(notes(sys.argv[1]))
