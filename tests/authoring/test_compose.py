"""`revision --autogenerate` writes what leads from the history to the models: in the safe form, and nothing guessed."""

from __future__ import annotations

import json
import re

import pytest

from diwa_schema.migrations.manifest import load

MODELS = "src/diwa_schema/models"
TITLE = '    title: Mapped[str] = mapped_column(**described("What is to be done, in a few words.", privacy="content"))\n'
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

    def revise(*words: str, check: int = 0):
        done = call(
            "revision", "-m", "Let a task have a mood", "--autogenerate", "--json", *words, check=check
        )
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
    body = text.partition(f"def {function}() -> None:\n")[2].partition("\n\n\n")[0]
    return [_on_one_line(one) for one in re.split(r"\n(?=    \S)(?!    \))", body)]


def _on_one_line(code: str) -> str:
    return re.sub(r",(?=\))", "", re.sub(r"(?<=\() | (?=\))", "", " ".join(code.split())))


def test_a_nullable_column_and_its_index(edited):
    edit, revise = edited
    edit(TITLE, TITLE + MOOD.format("str | None", "index=True, "))
    made, (column, index) = revise()
    ids = [one["revision"] for one in made["revisions"]]
    assert [load().head, *ids[:-1]] == [one["down_revision"] for one in made["revisions"]]
    assert ids == sorted(ids)
    assert column.startswith('"""Let a task have a mood: column tasks.mood."""')
    assert calls(column, "upgrade") == ['op.add_column("tasks", sa.Column("mood", ShortText()))']
    assert calls(column, "downgrade") == ['op.drop_column("tasks", "mood")']
    assert 'drops = ("tasks.mood",)' in column
    assert "transactional = False" in index
    assert calls(index, "upgrade") == [
        'steps.create_index_concurrently("tasks_mood_index", "tasks", ["mood"])'
    ]
    assert {"catalog_postgresql.json", "snapshot_sqlite.sql"} <= set(made["generated"])


def test_a_column_that_takes_no_null_and_has_a_constant_default_is_one_revision(edited):
    edit, revise = edited
    edit(TITLE, TITLE + MOOD.format("str", '**defaulted("calm"), '))
    _, (column,) = revise()
    assert calls(column, "upgrade") == [
        'op.add_column("tasks", sa.Column("mood", ShortText(), server_default=sa.text("\'calm\'"), nullable=False))'
    ]


def test_what_takes_no_null_and_has_no_default_is_asked_for(edited):
    edit, revise = edited
    edit(TITLE, TITLE + MOOD.format("str", ""))
    said = revise(check=2)
    assert "tasks.mood takes no NULL and has no default" in said
    assert '--fill "tasks.mood=SQL" --contract' in said
    _, (column, fill, required) = revise("--fill", "tasks.mood='calm'", "--contract")
    assert calls(column, "upgrade") == ['op.add_column("tasks", sa.Column("mood", ShortText()))']
    assert calls(fill, "upgrade") == ['steps.backfill("tasks", "mood = \'calm\'", where="mood IS NULL")']
    assert calls(required, "upgrade") == ['steps.set_not_null("tasks", "mood")']
    assert ['phase = "contract"' in one for one in (column, fill, required)] == [False, False, True]


def test_a_table_comes_whole(edited):
    edit, revise = edited
    edit("\n\nclass HitlEscalation(Base)", TABLE + "\n\nclass HitlEscalation(Base)")
    _, (table,) = revise()
    assert 'drops = ("moods",)' in table
    create, *indexes = calls(table, "upgrade")
    assert create.startswith('op.create_table("moods", sa.Column("id", UniqueId(), nullable=False), ')
    assert (
        'sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name="moods_task_id_fkey", ondelete="CASCADE")'
        in create
    )
    assert len(indexes) == 2


def test_a_name_is_never_guessed(edited):
    edit, revise = edited
    edit("    title: Mapped[str] =", "    headline: Mapped[str] =")
    said = revise(check=2)
    assert "tasks.title went and headline came: is that its new name?" in said
    assert "--rename tasks.title=headline" in said
    assert "--contract" in revise("--rename", "tasks.title=headline", check=2)
    _, (rename,) = revise("--rename", "tasks.title=headline", "--contract")
    assert calls(rename, "upgrade") == ['op.alter_column("tasks", "title", new_column_name="headline")']
    assert calls(rename, "downgrade") == ['op.alter_column("tasks", "headline", new_column_name="title")']
    assert 'phase = "contract"' in rename


def test_a_column_goes_only_where_old_code_may_break(edited):
    edit, revise = edited
    edit(
        '    remote_id: Mapped[uuid.UUID | None] = mapped_column(\n        **described(\n            "The id of the same context',
        '    _gone = dict(\n        **described(\n            "The id of the same context',
        "core.py",
    )
    assert "drop contexts.remote_id: code that runs today breaks with it" in revise(check=2)
    _, (drop,) = revise("--contract")
    assert calls(drop, "upgrade") == ['op.drop_column("contexts", "remote_id")']
    assert calls(drop, "downgrade") == ['op.add_column("contexts", sa.Column("remote_id", UniqueId()))']


def test_a_type_is_never_changed_in_place(edited):
    edit, revise = edited
    edit("    health_score: Mapped[int | None]", "    health_score: Mapped[float | None]", "core.py")
    said = revise(check=2)
    assert "column health_score of contexts is changed (type)" in said
    assert "old and new stand beside each other" in said


def test_models_that_cannot_be_imported_are_told(edited):
    edit, revise = edited
    edit("class HitlEscalation(Base)", "class HitlEscalation(Bsae)")
    assert "name 'Bsae' is not defined" in revise(check=2)


@pytest.mark.parametrize(
    "words",
    [
        ["--rename", "tasks.title"],
        ["--fill", "mood='x'"],
        ["--rename", "tasks.no=such"],
        ["--fill", "tasks.no=1"],
    ],
)
def test_an_answer_that_belongs_to_nothing_is_refused(edited, words):
    _, revise = edited
    assert "Traceback" not in revise(*words, check=2)
