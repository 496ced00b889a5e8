"""What docs/scaling.md says to run is run, in its order, and its program too."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import sqlalchemy
from sqlalchemy import func, select
from sqlalchemy.orm import Session

import diwa_schema
from diwa_schema.cli import main
from diwa_schema.models import (
    Context,
    Memory,
    MemoryVersion,
    Organization,
    OrphanReviewLog,
    TalaOperation,
    UsageRecord,
)
from diwa_schema.testing import embedded
from tests.fleet.tenants import HEAD, TENANTS, revisions

PAGE = (Path(__file__).parents[2] / "docs" / "scaling.md").read_text()
COMMANDS = [
    line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines() if line
]
FAR = {"status": {0, 1}, "digest": {0}, "check": {0}}


def test_the_commands_of_the_page_run(
    site, tenants, head_file, tmp_path, monkeypatch, capsys, owner_directory
):
    """The roles of a server are everybody's, so those that the page makes get names of this test's own."""
    monkeypatch.chdir(tmp_path / "diwa-cloud")
    names = ["--owner", site.names.owner, "--app", site.names.app, "--reader", site.names.reader]
    Path("targets.csv").write_text(f"first,{tenants},tenant_1,1\nsecond,{tenants},tenant_2,\n")
    values = {
        "$DATABASE_URL": tenants,
        "$DATABASES": tenants.rpartition("/")[2],
        "$SQLITE_URL": f"sqlite:///{head_file}",
        "$OTHER_URL": site.url,
    }
    for line in COMMANDS:
        words, _, file = line.removeprefix("python -m diwa_schema ").partition(" > ")
        typed = [values.get(word, word) for word in shlex.split(words)]
        if typed[1] in ("create", "copy") and "--no-roles" not in typed:
            typed += names
        code = main(typed)
        said = capsys.readouterr()
        assert code in FAR.get(typed[1], {0}), (line, said)
        if file:
            Path(file).write_text(said.out)
    assert revisions(tenants) == dict.fromkeys(["tenant_1", "tenant_2", "tenant_7", "tenant_9"], HEAD)
    assert revisions(site.url) == {"tenant_3": HEAD}
    main(["fleet", "drop", "tenant_7", "--url", tenants, "--confirm", "tenant_7"])


def test_the_program_of_the_page_runs(tenants, owner_directory):
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    Path("program.py").write_text(f"url = {tenants!r}\n{program}")
    done = subprocess.run([sys.executable, "program.py"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert revisions(tenants) == dict.fromkeys(TENANTS, HEAD)


def test_an_organization_goes_with_its_rows_and_without_those_of_others(postgres, owner_directory):
    url = postgres
    diwa_schema.migrate(url)
    (statements,) = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
    engine = sqlalchemy.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with Session(engine) as session:
        goes, stays = (rows_of(session, name) for name in ("goes", "stays"))
        session.commit()
        psql = [
            str(embedded.programs() / "psql"),
            "-qX",
            "-v",
            "ON_ERROR_STOP=1",
            "-v",
            f"organization={goes}",
            url,
        ]
        subprocess.run(psql, input=statements, text=True, check=True)
        for model in (Context, Memory, MemoryVersion, TalaOperation, OrphanReviewLog, Organization):
            assert session.scalar(select(func.count()).select_from(model)) == 1, model
        assert session.scalars(select(Organization.id)).all() == [stays]
        bills = {row.organization_id: row.context_id for row in session.scalars(select(UsageRecord))}
        assert bills.keys() == {goes, stays}
        assert bills[goes] is None
    engine.dispose()


def rows_of(session, name):
    """Write a row of each kind for an organization, and return its id."""
    context = Context(name=name, organization=Organization(name=name))
    session.add(context)
    session.flush()
    memory = Memory(context=context, content=name)
    session.add_all([
        MemoryVersion(memory=memory, content=name, operation="create"),
        TalaOperation(context_id=str(context.id), tool_name="t"),
        OrphanReviewLog(session_id=context.id, context_id=context.id, action="discard", actor="a", reviewer_actor="b"),
        UsageRecord(context_id=context.id, provider="p", model="m", operation="o"),
    ])  # fmt: skip
    session.flush()
    return context.organization_id
