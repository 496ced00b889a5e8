"""What a page of the docs holds: its text, its blocks of a language, the commands that it names."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def read(name: str) -> str:
    """Return the text of a page below docs."""
    return (DOCS / name).read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """Return the fenced blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def commands(text: str) -> list[list[str]]:
    """Return the words of every `python -m diwa_schema` command that a text names, without what a shell does beside."""
    found = re.findall(r"python -m diwa_schema ([a-z][^`\n]*|--\w+)", text)
    return [shlex.split(words.partition(" 2> ")[0], comments=True) for words in found]
