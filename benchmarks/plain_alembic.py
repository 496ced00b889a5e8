"""A plain Alembic environment of its own over the package's revisions, as `alembic init` would make it."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.measure import process
from diwa_schema.migrations.manifest import VERSIONS

INI = """\
[alembic]
script_location = %(here)s
version_locations = {versions}
path_separator = os
"""
ENV = """\
import os

from alembic import context
from sqlalchemy import create_engine, pool

engine = create_engine(os.environ["PLAIN_URL"], poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""


def make(folder: Path, versions: Path = VERSIONS) -> Path:
    """Write the environment over the revisions of a folder into another one, and return that."""
    folder.mkdir(exist_ok=True)
    (folder / "alembic.ini").write_text(INI.format(versions=versions))
    (folder / "env.py").write_text(ENV)
    return folder


def upgrade(environment: Path, url: str) -> float:
    """Return how long `alembic upgrade head` takes on a database, in milliseconds."""
    return process("-m", "alembic", "upgrade", "head", cwd=environment, env={**os.environ, "PLAIN_URL": url})
