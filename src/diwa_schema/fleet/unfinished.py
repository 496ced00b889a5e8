"""The unfinished targets of an earlier run, as its report names them.

A report that cannot name all of them is refused: a target that is missing there would never be worked on, and the
repeated run would report success.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from diwa_schema.errors import UsageError
from diwa_schema.fleet.report import Result
from diwa_schema.names import amount

if TYPE_CHECKING:
    from diwa_schema.fleet.census import Found

_SHOWN = 5

Key = tuple[str, str | None]


class Unfinished(NamedTuple):
    """A selection of targets by masked URL and schema.

    Args:
        open: The unfinished targets of the report.
        settled: Its finished targets.
    """

    open: frozenset[Key]
    settled: frozenset[Key]

    def of(self, found: Collection[Found]) -> list[Found]:
        """Return the unfinished targets among those that were found.

        An unfinished target of the report may have no counterpart, for example because it stands for a server that
        could not be searched. Targets that the report does not name are then unfinished, too.
        """
        lost = bool(self._lost(found))
        return [one for one in found if _key(one) in self.open or (lost and _key(one) not in self.settled)]

    def notes(self, found: Collection[Found]) -> Iterator[str]:
        """Yield a note if unfinished targets of the report have no counterpart."""
        if lost := self._lost(found):
            names = [f"{url} (schema {schema})" if schema else url for url, schema in sorted(lost, key=str)]
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            yield (
                f"{', '.join(names[:_SHOWN])}{more} of the report is no target any more, so targets that"
                " the report does not name are included."
            )

    def _lost(self, found: Collection[Found]) -> frozenset[Key]:
        return self.open - {_key(one) for one in found}


def _key(found: Found) -> Key:
    return found.member.address, found.member.schema


def unfinished(lines: Iterable[str], where: str) -> Unfinished:
    """Read the report of an earlier run; of two lines for one target, the last one is valid.

    Args:
        lines: The report as printed by ``--json``: one document per line.
        where: The source of the report, for the error message.

    Raises:
        UsageError: The text is not such a report, or lacks targets of its run.
    """
    results: dict[Key, Result] = {}
    seen: set[tuple[str, ...]] = set()
    complete = False
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            told = json.loads(line)
            if "fleet" in told:
                complete = int(told["targets"]) <= len(seen)
                if not complete:
                    break
                seen.clear()
                continue
            complete = False
            if "result" not in told and "what" in told:
                continue  # the error of a run without a report
            key = _key_of(told)
            results[key] = Result(told["result"])
            seen.add((str(told["name"]), *map(str, key)))
        except (ValueError, KeyError, TypeError):
            raise UsageError(
                f"{where}, line {number}: this is not a line of a report.",
                next_step="Name the output of `diwa-schema fleet ... --json`.",
                line=number,
            ) from None
    if not complete:
        raise UsageError(
            f"{where} {_lack(results)}.",
            next_step="Run the command without --from: it skips finished targets.",
        )
    settled = frozenset(key for key, result in results.items() if result.settled)
    return Unfinished(frozenset(results) - settled, settled)


def _key_of(told: dict[str, Any]) -> Key:
    schema = told["schema"]
    # Reports of the first release repeat the schema behind the URL, which contains no blank.
    return (str(told["database"]).partition(" (schema ")[0] if schema else str(told["database"])), schema


def _lack(results: Collection[Key]) -> str:
    if not results:
        return "contains no target"
    return f"has {amount(len(results), 'target')} and lacks others, because its run was ended before its end"
