"""The cloud's own test."""

from pathlib import Path

from sqlalchemy import create_engine
from sqlalchemy.orm import Session

import diwa_schema
from diwa_cloud.tenants import memories_by_organization
from diwa_schema.models import Context, Memory, Organization


def test_organizations_without_memories_are_counted(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'cloud.db'}"
    diwa_schema.migrate(url, repo="diwa-cloud")
    engine = create_engine(url)
    with Session(engine) as session:
        busy = Organization(name="busy", slug="busy")
        context = Context(name="work", organization=busy)
        session.add_all(
            [Organization(name="new", slug="new"), *(Memory(context=context, content=text) for text in "ab")]
        )
        session.flush()
        assert memories_by_organization(session) == {"busy": 2, "new": 0}
    engine.dispose()
