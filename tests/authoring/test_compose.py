"""`revision --autogenerate` writes what leads from the history to the models: in the safe form, and nothing guessed."""

from __future__ import annotations

import json
import re
import shlex
import textwrap

import pytest

from diwa_schema.migrations.manifest import load
from tests.repository.test_ci_files import ROOT
from tests.sampling import sampled

MODELS = "src/diwa_schema/models"
TITLE = '    title: Mapped[str] = mapped_column(**described("What is to be done, in a few words.", privacy="content"))\n'
DESCRIPTION = """    description: Mapped[Prose | None] = mapped_column(
        **described("What is to be done, in detail.", privacy="content")
    )
"""
MOOD = '    mood: Mapped[{}] = mapped_column({}**described("How it feels.", writer="unknown"))\n'
TABLE = '''

class Mood(Base):
    """How somebody feels about a task."""

    __tablename__ = "moods"
    __table_args__ = (Index(None, "task_id", "name", unique=True), written_by("unknown"))

    id: Mapped[ClientId]
    task_id: Mapped[uuid.UUID] = belongs_to("tasks.id", **described("The task."))
    name: Mapped[str] = mapped_column(**defaulted("calm"), **described("The mood."))
    inserted_at: Mapped[ChangedFiner]
'''


@pytest.fixture
def edited(own, server):
    """What changes a model of the checkout, and then calls `revision --autogenerate`."""
    if not server.has_vector:
        pytest.skip("this server has no pgvector")
    root, call = own

    def edit(old: str, new: str, file: str = "team.py") -> None:
        path = root / MODELS / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    def revise(*words: str, check: int = 0, generate: bool = False):
        command = ["revision", "-m", "Let a task have a mood", "--autogenerate", "--json", *words]
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

    return edit, revise


def calls(text: str, function: str) -> list[str]:
    """Return the calls in a function of a revision, each without line breaks."""
    return _apart(text.partition(f"def {function}() -> None:\n")[2].partition("\n\n\n")[0])


def _apart(body: str) -> list[str]:
    """Return the calls in a body that is indented once."""
    return [_on_one_line(one) for one in re.split(r"\n(?=    \S)(?!    \))", body)]


def _on_one_line(code: str) -> str:
    return re.sub(r",(?=\))", "", re.sub(r"(?<=\() | (?=\))", "", " ".join(code.split())))


def recipes() -> dict[str, str]:
    """Return the recipes of the page about migrations, each with its text."""
    page = (ROOT / "docs" / "writing-a-migration.md").read_text(encoding="utf-8")
    found = page.partition("## Recipes")[2].partition("\n## ")[0].split("\n### ")[1:]
    return dict(one.split("\n", 1) for one in found)


# Of the others each part is drafted below as well.
ALWAYS = ("A column that always has a value, and no default",)


@pytest.mark.parametrize("name", sampled(recipes(), next(iter(recipes())), *ALWAYS))
def test_a_recipe_of_the_page_does_what_it_says(edited, name):
    edit, revise = edited
    text = recipes()[name]
    *model, expected = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (command,) = re.findall(r"```console\n\$ diwa-schema revision -m .+? --autogenerate(.*)\n```", text)
    line = "".join(f"    {one}" for one in model)
    replaced = re.search(r"In place of `(\w+)`", text)
    edit(
        {None: TITLE, "title": TITLE, "description": DESCRIPTION}[replaced and replaced[1]],
        line if replaced else TITLE + line,
    )
    generates = name == next(iter(recipes()))
    made, files = revise(*shlex.split(command), generate=generates)
    assert [call for file in files for call in calls(file, "upgrade")] == _apart(
        textwrap.indent(expected.strip(), "    ")
    )
    ids = [one["revision"] for one in made["revisions"]]
    assert [load().head, *ids[:-1]] == [one["down_revision"] for one in made["revisions"]]
    assert all(("transactional = False" in file) == ("    steps." in file) for file in files)
    assert ('phase = "contract"' in files[-1]) == ("--contract" in command)
    assert {"catalog_postgresql.json", "snapshot_sqlite.sql"} <= set(made["generated"]) or not generates
    if replaced is None:
        column = model[0].partition(":")[0]
        assert f'drops = ("tasks.{column}",)' in files[0]
        assert calls(files[0], "downgrade") == [f'op.drop_column("tasks", "{column}")']


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "TITLE",
            MOOD.format("str", ""),
            ["tasks.mood takes no NULL and has no default", '--fill "tasks.mood=SQL" --contract'],
        ),
        (
            "    title: Mapped[str] =",
            "    headline: Mapped[str] =",
            ["tasks.title went and headline came: is that its new name?", "--rename tasks.title=headline"],
        ),
        (
            "    completion_pct: Mapped[int | None]",
            "    completion_pct: Mapped[float | None]",
            ["column completion_pct of plans is changed (type)", "old and new stand beside each other"],
        ),
        pytest.param(
            "DESCRIPTION",
            "",
            ["drop tasks.description: code that runs today breaks with it", "--contract"],
            marks=pytest.mark.matrix,
        ),
    ],
)
def test_what_a_person_has_to_decide_is_asked_and_nothing_is_written(edited, old, new, said):
    edit, revise = edited
    edit({"TITLE": TITLE, "DESCRIPTION": DESCRIPTION}.get(old, old), TITLE + new if old == "TITLE" else new)
    answer = revise(check=2)
    assert all(words in answer for words in said)


def test_a_table_comes_whole(edited):
    edit, revise = edited
    edit("\n\nclass HitlEscalation(Base)", TABLE + "\n\nclass HitlEscalation(Base)")
    _, (table,) = revise()
    assert 'drops = ("moods",)' in table
    create, *indexes = calls(table, "upgrade")
    made = 'server_default=ServerDefault(postgresql="gen_random_uuid()"), nullable=False'
    assert create.startswith(f'op.create_table("moods", sa.Column("id", UniqueId(), {made}), ')
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
    assert "tasks.title went and headline came" in revise("--contract", check=2)
    assert "--drop names no column that went: tasks.status" in revise("--drop", "tasks.status", check=2)
    _, files = revise("--drop", "tasks.title", "--fill", "tasks.headline='x'", "--contract")
    made = [call for file in files for call in calls(file, "upgrade")]
    assert made[0] == 'op.add_column("tasks", sa.Column("headline", ShortText()))'
    assert made[-1] == 'op.drop_column("tasks", "title")'


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
