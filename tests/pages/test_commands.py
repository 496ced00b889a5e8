"""Every command that the README or one of these pages names is one that the parser takes."""

from __future__ import annotations

import pytest

from diwa_schema.cli.parser import build_parser
from tests.pages.reading import ROOT, commands, read

PAGES = (
    "guard.md",
    "adoption.md",
    "operating.md",
    "roles.md",
    "reference/troubleshooting.md",
)


@pytest.mark.parametrize("page", ["README.md", *PAGES])
def test_named_commands_exist(page: str) -> None:
    named = commands((ROOT / page).read_text() if page == "README.md" else read(page))
    assert len(named) >= 3
    for words in named:
        if words[0].startswith("--"):
            with pytest.raises(SystemExit) as ended:
                build_parser().parse_args(words)
            assert ended.value.code == 0
        else:
            assert callable(build_parser().parse_args(words).run)
