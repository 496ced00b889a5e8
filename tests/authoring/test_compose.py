"""`revision --autogenerate` writes what leads from the history to the models: in the safe form, and nothing guessed."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from diwa_schema.migrations.manifest import load
from tests.sampling import sampled

from .drafts import list_anew
from .recipes import blocks, edit_models, recipes, replace, write_body

TITLE = '    title: Mapped[str] = mapped_column(**described("What is to be done, in a few words.", privacy="content"))\n'
DESCRIPTION = """    description: Mapped[Prose | None] = mapped_column(
        **described("What is to be done, in detail.", privacy="content")
    )
"""
MOOD = '    temper: Mapped[{}] = mapped_column({}**described("How it feels.", writer="unknown"))\n'
TABLE = '''

class Mood(Base):
    """How somebody feels about a task."""

    __tablename__ = "moods"
    __table_args__ = (Index(None, "task_id", "name", unique=True), written_by("unknown"))

    id: Mapped[ClientId]
    task_id: Mapped[uuid.UUID] = belongs_to("tasks.id", **described("The task that the mood is of."))
    name: Mapped[str] = mapped_column(**defaulted("calm"), **described("The name of the mood."))
    inserted_at: Mapped[ChangedFiner]
'''


@pytest.fixture
def edited(own, server):
    """What changes a model of the checkout, and then calls `revision --autogenerate`."""
    if not server.has_vector:
        pytest.skip("this server has no pgvector")
    root, call = own

    def revise(*words: str, check: int = 0, generate: bool = False):
        asked = words if "-m" in words else ("-m", "Let a task have a mood", "--autogenerate", *words)
        command = ["revision", "--json", *asked]
        # The generated files take most of the time of a draft, and are the same work for all of them.
        done = call(*command, *([] if generate else ["--no-generate"]), check=check)
        if check:
            return json.loads(done.stdout)["what"] + json.loads(done.stdout)["next_step"]
        made = json.loads(done.stdout)
        files = [(root / one["file"]).read_text() for one in made["revisions"]]
        assert call("lint", *(str(root / one["file"]) for one in made["revisions"])).returncode == 0
        # What was written leads to the models: asked again, there is nothing left, and what is generated is fresh.
        again = json.loads(
            call("revision", "-m", "Again", "--autogenerate", "--no-generate", "--json").stdout
        )
        assert again == {"revisions": [], "generated": []}
        return made, files

    return partial(replace, root), revise


def calls(text: str, function: str) -> list[str]:
    """Return the calls in a function of a revision, each without line breaks."""
    return _apart(text.partition(f"def {function}() -> None:\n")[2].partition("\n\n\n")[0])


def _apart(body: str) -> list[str]:
    """Return the calls in a body that is indented once."""
    return [_on_one_line(one) for one in re.split(r"\n(?=    \S)(?!    \))", body)]


def _on_one_line(code: str) -> str:
    return re.sub(r",(?=\))", "", re.sub(r"(?<=\() | (?=\))", "", " ".join(code.split())))


@pytest.fixture
def followed(edited, own):
    """What follows a recipe of the page: it returns the revisions, and what each draft should and does say."""
    _, revise = edited
    root, call = own

    def by_hand(command: list[str], body: str, after: str | None) -> dict[str, str]:
        made: dict[str, str]
        (made,) = json.loads(call(*command, "--no-generate", "--json").stdout)["revisions"]
        write_body(root / made["file"], body, after)
        list_anew(root)
        assert call("lint", str(root / made["file"])).returncode == 0
        return made

    def follow(name: str, *, generate: bool = False):
        command: list[str] = []
        revisions: list[dict[str, str]] = []
        drafts = []
        for where, language, content in blocks(recipes()[name]):
            if language == "console":
                command = shlex.split(content)[2:]
                if where.endswith("nothing:\n\n"):
                    edit_models(root, where, "")
            elif not command:
                edit_models(root, where, content)
            elif "--autogenerate" in command:
                made, files = revise(*command[1:], generate=generate)
                drafts.append((command, made, files, content))
                revisions += made["revisions"]
                command = []
            else:
                after = revisions[-1]["revision"] if revisions else None
                revisions.append(by_hand(command, content, after))
                command = []
        return revisions, drafts

    return follow


# Of the others each part is drafted below as well.
ALWAYS = ("A column that always has a value, and no default",)


@pytest.mark.parametrize("name", sampled(recipes(), next(iter(recipes())), *ALWAYS))
def test_a_recipe_of_the_page_does_what_it_says(followed, name):
    generates = name == next(iter(recipes()))
    revisions, drafts = followed(name, generate=generates)
    assert len({one["revision"] for one in revisions}) == len(revisions) > 0
    for command, made, files, expected in drafts:
        wanted = _apart(textwrap.indent(expected.strip(), "    "))
        assert [call for file in files for call in calls(file, "upgrade")] == wanted
        ids = [one["revision"] for one in made["revisions"]]
        assert [load().head, *ids[:-1]] == [one["down_revision"] for one in made["revisions"]]
        assert all(("transactional = False" in file) == ("    steps." in file) for file in files)
        assert ('phase = "contract"' in files[-1]) == ("--contract" in command)
        assert {"catalog_postgresql.json", "snapshot_sqlite.sql"} <= set(made["generated"]) or not generates
        if added := re.match(r'op.add_column\("(\w+)", sa.Column\("(\w+)"', wanted[0]):
            assert f'drops = ("{added[1]}.{added[2]}",)' in files[0]
            assert calls(files[0], "downgrade") == [f'op.drop_column("{added[1]}", "{added[2]}")']


@pytest.mark.parametrize("name", sampled(recipes()))
def test_a_recipe_of_the_page_is_planned_and_proven(followed, own, name, new_database, head_template):
    root, call = own
    revisions, drafts = followed(name)
    ids = [one["revision"] for one in revisions]
    if drafts:
        # The rows of a proof have values that the models name, and the catalogs have to know those.
        words = [sys.executable, "-m", "diwa_schema.generate"]
        subprocess.run(words, cwd=root, env={**os.environ, "PYTHONPATH": str(root / "src")}, check=True)
    url = new_database(head_template)
    planned = json.loads(call("plan", "--observe", "--json", "--url", url).stdout)
    assert [one["revision"] for one in planned["revisions"]] == ids
    assert {one["revision"] for one in planned["observed"]} == set(ids)
    document = json.loads(call("prove", *ids, "--json").stdout)
    assert document == {"revisions": ids, "dialects": ["sqlite", "postgresql"], "failures": []}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "TITLE",
            MOOD.format("str", ""),
            ["tasks.temper takes no NULL and has no default", '--fill "tasks.temper=SQL" --contract'],
        ),
        (
            "    title: Mapped[str] =",
            "    headline: Mapped[str] =",
            [
                "tasks.title is missing and headline is new: is this its new name?",
                "--rename tasks.title=headline",
            ],
        ),
        pytest.param(
            "    completion_pct: Mapped[int | None]",
            "    completion_pct: Mapped[float | None]",
            ["column completion_pct of plans is changed (type)", "keep the old beside the new"],
            marks=pytest.mark.matrix,
        ),
        pytest.param(
            "DESCRIPTION",
            "",
            ["drop tasks.description: it breaks running code", "--contract"],
            marks=pytest.mark.matrix,
        ),
    ],
)
def test_what_a_person_has_to_decide_is_asked_and_nothing_is_written(edited, old, new, said):
    edit, revise = edited
    edit({"TITLE": TITLE, "DESCRIPTION": DESCRIPTION}.get(old, old), TITLE + new if old == "TITLE" else new)
    answer = revise(check=2)
    assert all(words in answer for words in said)
    assert ("--fill" in answer) == any("--fill" in words for words in said)


@pytest.mark.matrix
def test_models_that_are_ahead_of_what_is_generated_are_told_the_command(
    edited, own, new_database, head_template
):
    edit, revise = edited
    _, call = own
    edit(TITLE, TITLE + MOOD.format("str | None", ""))
    made, _ = revise()
    (one,) = made["revisions"]
    for words in (
        ("prove", one["revision"]),
        ("plan", "--observe", "--url", new_database(head_template)),
        ("export", "json-schema"),
    ):
        done = call(*words, check=2)
        # A plan that cannot be observed is shown all the same, and what stops it behind it.
        said = done.stdout + done.stderr
        assert "The catalog of head lacks these parts of the models: tasks.temper.\n" in said, words
        assert "python -m diwa_schema.generate\n" in said


def without_column(edit: Callable[..., None], root: Path, column: str) -> None:
    """Take a column of the team's models away."""
    models = (root / "src/diwa_schema/models/team.py").read_text()
    found = re.search(rf"    {column}: .*\n(?:        .*\n|    \)\n)*", models)
    assert found
    edit(found[0], "")


@pytest.mark.matrix
def test_the_way_back_of_a_dropped_column_has_the_default_of_each_database(edited, own):
    edit, revise = edited
    root, _ = own
    without_column(edit, root, "layout_type")
    _, (text,) = revise("--contract")
    assert "sqlite=\"'single'\"" in text
    assert "postgresql=\"'single'::character varying\"" in text


@pytest.mark.matrix
def test_a_column_goes_together_with_the_kept_rule_that_is_about_it(edited, own):
    edit, revise = edited
    root, _ = own
    without_column(edit, root, "completion_pct")
    before = sorted((root / "src/diwa_schema/migrations/versions").iterdir())
    answer = revise("--contract", check=2)
    assert "plans.completion_pct is missing in the models, and the rule plans_completion_pct_check" in answer
    assert "Move the rule from KEPT to RETIRED in models/rules.py" in answer
    rules = (root / "src/diwa_schema/models/rules.py").read_text()
    rule = re.search(r'    Rule\(\n        "plans_completion_pct_check".*?\n    \),\n', rules, re.DOTALL)
    assert rule
    edit(rule[0], "", "rules.py")
    answer = revise("--contract", check=2)
    assert "A revision names the rule plans_completion_pct_check, and models/rules.py has no rule" in answer
    assert sorted((root / "src/diwa_schema/migrations/versions").iterdir()) == before
    edit("RETIRED: tuple[Rule, ...] = ()", f"RETIRED = (\n{rule[0]})", "rules.py")
    _, (release, drop) = revise("--contract")
    name = 'steps.{}_rules("plans_completion_pct_check")'
    assert calls(release, "upgrade") == [name.format("release")]
    assert calls(release, "downgrade") == [name.format("keep")]
    assert calls(drop, "upgrade") == ['op.drop_column("plans", "completion_pct")']


@pytest.mark.matrix
def test_a_table_comes_whole(edited):
    edit, revise = edited
    edit("\n\nclass HitlEscalation(Base)", TABLE + "\n\nclass HitlEscalation(Base)")
    _, (table,) = revise()
    assert 'drops = ("moods",)' in table
    create, *indexes = calls(table, "upgrade")
    made = 'server_default=ServerDefault(postgresql="gen_random_uuid()"), nullable=False'
    assert create.startswith(f'op.create_table("moods", sa.Column("id", UniqueId(), {made}, comment="The key')
    assert (
        'sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name="moods_task_id_fkey", ondelete="CASCADE")'
        in create
    )
    assert len(indexes) == 2


@pytest.mark.matrix
def test_a_column_that_could_have_a_new_name_goes_only_where_that_is_said(edited):
    edit, revise = edited
    edit("    title: Mapped[str] =", "    headline: Mapped[str] =")
    # That old code may break says nothing about a name, and dropping the column would lose its values.
    assert "tasks.title is missing and headline is new" in revise("--contract", check=2)
    assert "--drop does not name a missing column: tasks.status" in revise("--drop", "tasks.status", check=2)
    _, files = revise("--drop", "tasks.title", "--fill", "tasks.headline='x'", "--contract")
    made = [call for file in files for call in calls(file, "upgrade")]
    said = "What is to be done, in a few words."
    assert made[0] == f'op.add_column("tasks", sa.Column("headline", ShortText(), comment="{said}"))'
    assert made[-1] == 'op.drop_column("tasks", "title")'


@pytest.mark.matrix
def test_a_rule_follows_the_new_name_of_its_column(edited, own):
    edit, revise = edited
    root, call = own
    edit("    completion_pct: Mapped[int | None]", "    done: Mapped[int | None]")
    answer = ("--rename", "plans.completion_pct=done", "--contract")
    assert "Write the new name of plans.completion_pct into models/rules.py" in revise(*answer, check=2)
    edit('"completion_pct >= 0 AND completion_pct <= 100"', '"done >= 0 AND done <= 100"', "rules.py")
    edit('("completion_pct",)', '("done",)', "rules.py")
    _, (file,) = revise(*answer)
    assert calls(file, "upgrade") == [
        'op.alter_column("plans", "completion_pct", new_column_name="done")',
    ]
    list_anew(root)
    listed = json.loads((root / "src/diwa_schema/migrations/manifest.json").read_text())["revisions"]
    assert listed[-1]["renames"] == ["plans.completion_pct=done"]
    assert "renames" not in listed[-2]
    # The replay adds the rule under the old name.
    again = call("revision", "-m", "Again", "--autogenerate", "--no-generate", "--json", check=0)
    assert json.loads(again.stdout) == {"revisions": [], "generated": []}


@pytest.mark.matrix
def test_an_index_on_a_column_comes_after_its_new_name(edited):
    edit, revise = edited
    edit("    name: Mapped[str] = mapped_column(", "    title: Mapped[str] = mapped_column(", "core.py")
    edit("func.lower(Context.name)", "func.lower(Context.title)", "served.py")
    _, files = revise("--rename", "contexts.name=title", "--contract")
    made = [call for file in files for call in calls(file, "upgrade")]
    assert made == [
        'op.alter_column("contexts", "name", new_column_name="title")',
        'steps.drop_index_concurrently("contexts_name_index", "contexts")',
        'steps.create_index_concurrently("contexts_title_index", "contexts", ["title"])',
    ]


def test_models_that_cannot_be_imported_are_told(edited):
    edit, revise = edited
    edit("class HitlEscalation(Base)", "class HitlEscalation(Bsae)")
    assert "name 'Bsae' is not defined" in revise(check=2)


@pytest.mark.parametrize(
    "words",
    sampled(
        [
            "--rename tasks.title",
            "--fill mood='x'",
            "--rename tasks.no=such",
            "--fill tasks.no=1",
        ],
        "--rename tasks.title",
        "--rename tasks.no=such",
    ),
)
def test_an_answer_that_belongs_to_nothing_is_refused(edited, words):
    _, revise = edited
    assert "Traceback" not in revise(*words.split(), check=2)
