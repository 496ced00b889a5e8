"""`diwa-schema export`: on the screen, in a folder, as one document; without a database."""

from __future__ import annotations

import json

import pytest

from diwa_schema.export import FORMATS, export
from tests.sampling import sampled

NOWHERE = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none"}


@pytest.mark.parametrize("form", sampled(FORMATS, "dictionary", "ecto", "json-schema"))
def test_a_format_is_written_without_a_database(cli, tmp_path, form):
    files = export(form)
    done = cli("export", form, "--output", "made", cwd=tmp_path, env=NOWHERE, check=0)
    written = {
        str(path.relative_to(tmp_path / "made")): path.read_text(encoding="utf-8")
        for path in (tmp_path / "made").rglob("*")
        if path.is_file()
    }
    assert written == files
    assert all(name in done.stdout for name in files)


def test_without_a_folder_a_format_is_printed(cli, tmp_path):
    printed = cli("export", "dictionary", cwd=tmp_path, env=NOWHERE, check=0)
    assert printed.stdout.strip() == "\n".join(export("dictionary").values()).strip()


def test_one_document_holds_the_files(cli, tmp_path):
    done = cli("export", "dbml", "--json", cwd=tmp_path, check=0)
    assert json.loads(done.stdout) == {"format": "dbml", "files": export("dbml"), "output": None}


def test_it_is_free_for_a_consumer(cli, consumer_directory):
    """It reads what the package holds, so the guard has nothing to say."""
    cli("export", "mermaid", cwd=consumer_directory, check=0)


def test_ecto_takes_a_namespace_and_the_kind_of_embeddings(cli, tmp_path):
    done = cli("export", "ecto", "--namespace", "Diwa.Repo", "--embedding", "binary", cwd=tmp_path, check=0)
    assert "defmodule Diwa.Repo.Core.Context do" in done.stdout
    assert "Pgvector" not in done.stdout
    assert "Pgvector" in cli("export", "ecto", cwd=tmp_path, check=0).stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["sql"], "invalid choice"),
        (["ecto", "--namespace", "diwa repo"], "not the name of a module"),
        (["ecto", "--namespace", "A do\nend"], "not the name of a module"),
        (["dbml", "--namespace", "Diwa"], "an option of the format ecto"),
        (["dbml", "--output", "file"], "file/schema.dbml cannot be written"),
    ],
)
def test_what_cannot_be_is_refused(cli, tmp_path, words, told):
    (tmp_path / "file").write_text("kept")
    done = cli("export", *words, cwd=tmp_path, check=2)
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "kept"


def test_an_empty_folder_is_not_the_working_directory(cli, tmp_path):
    assert (
        "expected the name of a folder" in cli("export", "ecto", "--output", "", cwd=tmp_path, check=2).stderr
    )
    assert list(tmp_path.iterdir()) == []
