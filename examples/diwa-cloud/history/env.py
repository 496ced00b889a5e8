"""The environment of this application's own history: it sees no shared table, so it never changes one."""

import os

from alembic import context
from sqlalchemy import MetaData, create_engine, pool

from diwa_schema.autogenerate import include_name, include_object

# The metadata of the application's own tables.
metadata = MetaData()

engine = create_engine(os.environ["DATABASE_URL"], poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        include_name=include_name,
        include_object=include_object,
    )
    with context.begin_transaction():
        context.run_migrations()
