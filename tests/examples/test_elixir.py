"""What the Elixir repositories hold in their hands: the examples are what `init` prints, the page what is understood."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from diwa_schema.export import export
from diwa_schema.repository import ecto_tasks, templates
from tests.fixtures_checkout import run

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "elixir"
PAGE = (ROOT / "docs" / "elixir.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["diwa-agent", "diwa-cloud"])
def test_an_example_has_what_init_prints(name):
    mix = (EXAMPLES / name / "mix.exs").read_text(encoding="utf-8")
    for task, call in templates.mix_aliases().items():
        assert f'"{task}": {call},\n' in mix
    assert templates.mix_functions(name) in mix
    (start,) = EXAMPLES.glob(f"{name}/lib/*/application.ex")
    assert "{DiwaSchema.Check, " in start.read_text(encoding="utf-8")
    assert "defmodule DiwaSchema.Check do" in export("ecto")["check.ex"]
    if shutil.which("mix"):
        run(
            ["mix", "format", "--check-formatted", "mix.exs", str(start)],
            cwd=EXAMPLES / name,
            env={"LC_ALL": "C.UTF-8"},
            check=0,
        )


def test_the_page_has_every_task_and_option():
    understood = {*ecto_tasks.TAKEN["ecto.migrate"], *ecto_tasks.TAKEN["ecto.drop"], *ecto_tasks.PASSED_OVER}
    table = PAGE.partition("| option | meaning |")[2].partition("\n\n")[0]
    assert {name for name in re.findall(r"`(--[a-z-]+)", table) if name != "--schema"} == understood
    tasks = PAGE.partition("| task | command |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `mix (ecto\.\w+)`", tasks, re.MULTILINE)) == {
        *ecto_tasks.TASKS,
        "ecto.create",
    }
