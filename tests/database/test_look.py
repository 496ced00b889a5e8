"""What a look at a database finds while another run is at work."""

from __future__ import annotations

import pytest

from diwa_schema import api
from diwa_schema.database.bookkeeping import look
from diwa_schema.database.presence import missing
from diwa_schema.database.target import Target
from diwa_schema.migrations.manifest import load


@pytest.mark.parametrize("to", ["20260119010043", load().head])
def test_a_run_that_ends_between_two_queries_leaves_no_table_missing(sqlite, owner_directory, to):
    api.migrate(sqlite, "20260107201000")
    ended: list[str | None] = []

    def end_the_other_run(statement):
        if "SELECT version_num" in statement and not ended:
            ended.append(api.migrate(sqlite, to).after)

    with Target.of(sqlite).connect() as link:
        link.raw.set_trace_callback(end_the_other_run)
        state = look(link)
    assert ended == [state.revision] == [to]
    assert missing(state) == ()
