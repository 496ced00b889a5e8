"""`revision` begins one in a checkout of this package, after the last one, and nowhere else."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest

from diwa_schema.authoring import draft
from diwa_schema.migrations.manifest import load
from diwa_schema.run.interruption import as_dict
from tests.fixtures_checkout import checkout, run
from tests.sampling import sampled

BARE = ("--no-generate", "--json")


def content(root):
    return {
        path: path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_a_revision_is_begun_and_listed_and_has_nothing_to_find(own):
    root, call = own
    (made,) = json.loads(call("revision", "-m", "Let a memory have a mood.", *BARE).stdout)["revisions"]
    assert made["down_revision"] == load().head < made["revision"]
    text = (root / made["file"]).read_text()
    assert made["file"].endswith(f"versions/{made['revision']}_let_a_memory_have_a_mood.py")
    assert text.startswith('"""Let a memory have a mood.\n')
    assert 'phase = "expand"\nfloor = None\n' in text
    assert "1 revision, 0 findings" in call("lint", made["file"]).stdout
    (again,) = json.loads(call("revision", "-m", "Take the mood away", "--contract", *BARE).stdout)[
        "revisions"
    ]
    assert again["down_revision"] == made["revision"] < again["revision"]
    assert f'phase = "contract"\nfloor = "{again["revision"]}"\n' in (root / again["file"]).read_text()
    listed = json.loads((root / "src/diwa_schema/migrations/manifest.json").read_text())["revisions"]
    assert [one["revision"] for one in listed[-2:]] == [made["revision"], again["revision"]]
    assert listed[-1]["floor"] == again["revision"]
    assert "0 findings" in call("lint").stdout


@pytest.mark.parametrize("message", sampled(["", "...", "one\ntwo", 'a "mood"', "a \\ mood"], 'a "mood"'))
def test_a_message_that_is_no_docstring_is_refused(own, message):
    root, call = own
    before = content(root)
    assert "Traceback" not in call("revision", "-m", message, check=2).stderr
    assert content(root) == before


def test_a_history_that_cannot_be_read_or_has_two_ends_gets_none(own):
    root, call = own
    versions = root / "src/diwa_schema/migrations/versions"
    other = versions / "20990101000000_other.py"
    head = (versions / load().get(load().head).file).read_text()
    other.write_text(head.replace(f'revision = "{load().head}"', 'revision = "20990101000000"', 1))
    before = content(root)
    done = call("revision", "-m", "A mood", check=2)
    assert f"2 ends: {load().head}, 20990101000000" in done.stderr
    other.write_text("import no_such_module\n")
    before = content(root)
    generate = [sys.executable, "-m", "diwa_schema.generate", "--check"]
    for said in (
        call("revision", "-m", "A mood", check=2).stderr,
        call("prove", check=2).stderr,
        run(generate, cwd=root, env={"PYTHONPATH": str(root / "src")}, check=2).stderr,
    ):
        assert said.startswith(
            "The history cannot be read: ModuleNotFoundError: No module named 'no_such_module'"
        )
    early = head.replace(
        f'down_revision = "{load().get(load().head).down_revision}"', f'down_revision = "{load().head}"'
    )
    other = other.rename(versions / "20250101000000_other.py")
    other.write_text(early.replace(f'revision = "{load().head}"', 'revision = "20250101000000"', 1))
    before = content(root)
    for words in (generate, [sys.executable, "-m", "diwa_schema", "revision", "-m", "A mood"]):
        said = run(words, cwd=root, env={"PYTHONPATH": str(root / "src")}, check=2).stderr
        assert f"goes on from {load().head} and does not sort after it" in said
        assert content(root) == before
    # What has no phase cannot be listed: neither the file nor half a manifest stays.
    other = other.rename(versions / "20990101000000_other.py")
    other.write_text(
        f'revision = "20990101000000"\ndown_revision = "{load().head}"\n\n\ndef upgrade():\n    pass\n'
    )
    before = content(root)
    assert "has no attribute 'phase'" in call("revision", "-m", "A mood", check=2).stderr
    assert content(root) == before


def test_it_is_refused_outside_of_the_checkout_of_what_runs(own, cli, owner_directory, tmp_path):
    root, _ = own
    before = content(root)
    assert "is not the one of" in cli("revision", "-m", "A mood", cwd=root, check=2).stderr
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert "is not a checkout" in cli("revision", "-m", "A mood", cwd=elsewhere, check=2).stderr
    subprocess.run(["git", "init", "-q"], cwd=owner_directory, check=True)
    done = cli("revision", "-m", "A mood", cwd=owner_directory, check=2)
    assert "is a checkout of diwa-cloud" in done.stderr
    assert content(root) == before


@pytest.mark.parametrize("words", [("revision",), ("merge", "heads")])
def test_plain_alembic_writes_one_only_where_the_command_does(own, owner_directory, tmp_path, words):
    root, _ = own
    before = content(root)
    ini = tmp_path / "alembic.ini"
    ini.write_text("[alembic]\nscript_location = diwa_schema:migrations\n")

    def alembic(folder):
        return run(
            [sys.executable, "-m", "alembic", "-c", str(ini), *words, "-m", "x"],
            cwd=folder,
            env={"PYTHONPATH": str(root / "src")},
        )

    blocked = alembic(checkout(tmp_path, "diwa-agent"))
    assert (blocked.returncode, "[SAFETY BLOCK]" in blocked.stderr) == (3, True), blocked.stderr
    subprocess.run(["git", "init", "-q"], cwd=owner_directory, check=True)
    refused = alembic(owner_directory)
    assert (refused.returncode, "Traceback" in refused.stderr) == (2, False)
    assert "a history of its own" in refused.stderr
    assert content(root) == before
    done = alembic(root)
    assert done.returncode == 0, done.stderr
    assert len(content(root)) == len(before) + 1


def test_a_program_that_has_alembic_write_one_gets_the_exception(own, consumer_directory):
    root, _ = own
    before = content(root)
    program = """
from alembic import command, config
from diwa_schema.errors import Blocked
history = config.Config()
history.set_main_option("script_location", "diwa_schema:migrations")
try:
    command.revision(history, "x")
except Blocked:
    print("blocked")
"""
    done = run([sys.executable, "-c", program], env={"PYTHONPATH": str(root / "src")}, check=0)
    assert done.stdout.endswith("blocked\n")
    assert content(root) == before


def git(root, *words, check=True):
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *words]
    return subprocess.run(command, cwd=root, check=check, capture_output=True, text=True)


def test_two_revisions_that_were_begun_in_the_same_second_get_ids_of_their_own(own):
    root, call = own
    versions = root / "src/diwa_schema/migrations/versions"
    head = (versions / load().get(load().head).file).read_text()
    same, later = "20990101000000", "20990101000007"

    def write(name, revision, after):
        text = head.replace(
            f'down_revision = "{load().get(load().head).down_revision}"', f'down_revision = "{after}"'
        )
        path = versions / f"{revision}_{name}.py"
        path.write_text(text.replace(f'revision = "{load().head}"', f'revision = "{revision}"', 1))

    git(root, "checkout", "-q", "-b", "main")
    (root / ".gitignore").write_text("__pycache__\n")
    write("theirs", same, load().head)
    git(root, "add", "--all")
    git(root, "commit", "-qm", "theirs")
    write("mine", same, load().head)
    write("later", later, same)
    generate = [sys.executable, "-m", "diwa_schema.generate", "--check"]
    said = run(generate, cwd=root, env={"PYTHONPATH": str(root / "src")}, check=2).stderr
    assert f"2 revisions have the id {same}" in said
    assert f"{same}_mine.py, {same}_theirs.py" in said
    assert "revision --rebase" in said
    # Git knows the branch of both, or of neither: nobody is guessed to be first.
    git(root, "checkout", "-q", "-b", "other")
    git(root, "branch", "-q", "-D", "main")
    before = content(root)
    assert "git does not tell which was there first" in call("revision", "--rebase", check=2).stderr
    assert content(root) == before
    git(root, "branch", "-q", "main")
    first, second = json.loads(call("revision", "--rebase", *BARE).stdout)["revisions"]
    assert [first["down_revision"], second["down_revision"]] == [same, first["revision"]]
    assert {path.name.partition("_")[2] for path in versions.glob("2099*")} == {
        "theirs.py",
        "mine.py",
        "later.py",
    }
    listed = json.loads((root / "src/diwa_schema/migrations/manifest.json").read_text())["revisions"]
    assert [one["revision"] for one in listed[-3:]] == [same, first["revision"], second["revision"]]


@pytest.mark.parametrize(
    ("message", "name"),
    [("Ünï cöde, naïve", "uni_code_naive.py"), pytest.param("気分", "revision.py", marks=pytest.mark.matrix)],
)
def test_a_file_has_a_name_in_plain_letters(own, message, name):
    root, call = own
    (made,) = json.loads(call("revision", "-m", message, *BARE).stdout)["revisions"]
    assert made["file"].endswith(f"{made['revision']}_{name}")
    assert message in (root / made["file"]).read_text()


@pytest.mark.parametrize(
    "name", ["copy.py", pytest.param("20990101000000_copy.py", marks=pytest.mark.matrix)]
)
def test_a_copy_of_a_revision_keeps_its_work(own, name):
    """A newcomer copies the file of a revision, and forgets the id in it or in its name."""
    root, call = own
    versions = root / "src/diwa_schema/migrations/versions"
    environment = {"PYTHONPATH": str(root / "src")}
    generate = [sys.executable, "-m", "diwa_schema.generate", "--check"]
    released = versions / load().get(load().head).file
    before, copy = released.read_text(), versions / name
    git(root, "checkout", "-q", "-b", "main")
    (root / ".gitignore").write_text("__pycache__\n")
    git(root, "add", "--all")
    git(root, "commit", "-qm", "before")
    copy.write_text(f"{before}\n# work of many hours\n")
    said = run(generate, cwd=root, env=environment, check=2).stderr
    assert f"2 revisions have the id {load().head}, because one is a copy" in said
    (moved,) = json.loads(call("revision", "--rebase", *BARE).stdout)["revisions"]
    assert released.read_text() == before
    (kept,) = [path for path in versions.glob("*.py") if "work of many hours" in path.read_text()]
    assert kept.name == f"{moved['revision']}_copy.py"
    assert f'down_revision = "{load().head}"' in kept.read_text()

    kept.rename(copy)
    said = run(generate, cwd=root, env=environment, check=2).stderr
    assert f"The name of {name} does not begin with its revision {moved['revision']}." in said
    run(["sh", "-c", said.rpartition("Run: ")[2]], cwd=root, check=0)
    assert kept.exists()
    kept.write_text(kept.read_text().replace(f'"{moved["revision"]}"', '"mine"'))
    assert "'mine' in" in run(generate, cwd=root, env=environment, check=2).stderr


def test_an_interruption_after_the_revisions_are_written_says_so(monkeypatch):
    def interrupted(*_: str) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(draft, "program", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        draft.refresh()
    said = as_dict(caught.value, changing=False)
    assert said["untouched"] == "The command keeps the new revision files."
    assert said["next_step"] == "Run: python -m diwa_schema.generate"
    assert as_dict(KeyboardInterrupt(), changing=False)["untouched"] == "No database was changed."


def test_what_has_no_meaning_gets_no_revision(own):
    root, call = own
    team = root / "src/diwa_schema/models/team.py"
    source = team.read_text()
    for doc, args, lacks in (("", "", "class Mood"), ('"""A mood."""', "", "writes them: moods")):
        team.write_text(
            f'{source}\n\nclass Mood(Base):\n    {doc}\n    __tablename__ = "moods"{args}\n    id: Mapped[ClientId]\n'
        )
        assert lacks in call("revision", "-m", "Moods", "--autogenerate", check=2).stderr
    team.write_text(source)
    team.write_text(
        team.read_text().replace(
            "    status: Mapped[TaskStatus", "    mood: Mapped[str | None]\n    status: Mapped[TaskStatus"
        )
    )
    before = content(root)
    assert "full stop: tasks.mood." in call("revision", "-m", "A mood", "--autogenerate", check=2).stderr
    generate = [sys.executable, "-m", "diwa_schema.generate", "--check"]
    assert "tasks.mood" in run(generate, cwd=root, env={"PYTHONPATH": str(root / "src")}, check=2).stderr
    assert content(root) == before


@pytest.mark.matrix
def test_revisions_of_two_branches_come_one_after_the_other(own):
    root, call = own
    path = root / "src/diwa_schema/migrations/manifest.json"
    git(root, "checkout", "-q", "-b", "main")
    (root / ".gitignore").write_text("__pycache__\n")
    git(root, "add", "--all")
    git(root, "commit", "-qm", "before")
    git(root, "checkout", "-q", "-b", "mine")
    call("revision", "-m", "A mood", *BARE)
    (mine,) = json.loads(call("revision", "-m", "No mood", "--contract", *BARE).stdout)["revisions"]
    git(root, "add", "--all")
    git(root, "commit", "-qm", "mine")
    git(root, "checkout", "-q", "main")
    # An id is a second, and theirs is another one.
    while datetime.now(UTC).strftime("%Y%m%d%H%M%S") <= mine["revision"]:
        time.sleep(0.1)
    (theirs,) = json.loads(call("revision", "-m", "A colour", *BARE).stdout)["revisions"]
    git(root, "add", "--all")
    git(root, "commit", "-qm", "theirs")
    git(root, "checkout", "-q", "mine")
    assert "CONFLICT" in git(root, "merge", "main", check=False).stdout
    # What CI runs names the command, whether or not somebody took the marks away.
    generate = [sys.executable, "-m", "diwa_schema.generate", "--check"]
    environment = {"PYTHONPATH": str(root / "src")}
    assert "revision --rebase" in run(generate, cwd=root, env=environment, check=2).stderr
    before = content(root)
    assert "not an end of the history" in call("revision", "--rebase", "--onto", "2030", check=2).stderr
    assert content(root) == before
    moved = json.loads(call("revision", "--rebase", *BARE).stdout)["revisions"]
    assert [one["title"] for one in moved] == ["A mood", "No mood"]
    assert moved[0]["down_revision"] == theirs["revision"] < moved[0]["revision"] == moved[1]["down_revision"]
    assert not (root / mine["file"]).exists()
    assert f'floor = "{moved[1]["revision"]}"' in (root / moved[1]["file"]).read_text()
    listed = json.loads(path.read_text())["revisions"]
    assert [one["revision"] for one in listed[-3:]] == [
        theirs["revision"],
        *(one["revision"] for one in moved),
    ]
    assert json.loads(call("revision", "--rebase", *BARE).stdout)["revisions"] == []

    # A released one stays, whatever is asked for.
    listed[-1]["released"] = "0.2.0"
    path.write_text(json.dumps({**json.loads(path.read_text()), "revisions": listed}))
    other = root / moved[1]["file"].replace(moved[1]["revision"], "20990101000000")
    other.write_text((root / moved[1]["file"]).read_text().replace(moved[1]["revision"], "20990101000000"))
    before = content(root)
    assert "revision --rebase" in run(generate, cwd=root, env=environment, check=2).stderr
    said = call("revision", "--rebase", "--onto", "20990101000000", check=2).stderr
    assert f"{moved[1]['revision']} (in 0.2.0)" in said
    assert content(root) == before

    # A file that the manifest lists and nobody has is said, by what reads the history.
    other.unlink()
    (root / moved[1]["file"]).unlink()
    for words in (("revision", "-m", "A taste", "--autogenerate"), ("prove",)):
        said = call(*words, check=2).stderr
        assert moved[1]["file"].rpartition("/")[2] in said
        assert "python -m diwa_schema.generate" in said
