"""What MkDocs calls while it builds the site."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from website import command_line, documents, messages, python, settings

_TO_REPOSITORY = re.compile(r"\[([^\]]+)\]\((?:\.\./)+((?:examples|benchmarks|src|CONTRIBUTING)[^)]*)\)")
_FROM_README = re.compile(r"\]\(docs/([^)]+)\)")


def _home(readme: str) -> str:
    """Return the README with links that lead from the first page of the site."""
    text = _FROM_README.sub(r"](\1)", readme)
    return (
        text.replace("](benchmarks/", "](../benchmarks/")
        .replace("](CHANGELOG.md)", "](changelog.md)")
        .replace("](CONTRIBUTING.md)", "](../CONTRIBUTING.md)")
    )


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made, and the README as the first one."""
    made = {
        "index.md": _home((ROOT / "README.md").read_text()),
        "changelog.md": (ROOT / "CHANGELOG.md").read_text(),
        "reference/command-line.md": command_line.page(),
        "reference/documents.md": documents.page(),
        **{f"reference/json/{name}": json.dumps(each, indent=2) for name, each in documents.files().items()},
        "reference/messages.md": messages.page(),
        "reference/python.md": python.page(),
        "reference/settings.md": settings.page(),
    }
    for name, text in made.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Name what a page refers to in the repository: the site does not have it."""
    return _TO_REPOSITORY.sub(r"\1 (`\2`)", markdown)
