"""The observations of a revision in a shadow: its statements, its pieces, and its effects on tables."""

from __future__ import annotations

from dataclasses import dataclass, field

# From the weakest to the strongest; those before the last four let reads and writes go on.
LOCKS = (
    "AccessShareLock", "RowShareLock", "RowExclusiveLock", "ShareUpdateExclusiveLock",
    "ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock",
)  # fmt: skip
CONCURRENT, BATCHES = "concurrent build", "batches"


@dataclass(slots=True)
class Mark:
    """The effect of one revision on one existing table.

    Args:
        lock: The strongest lock that it takes; None without one.
        known: Facts from the kind of step, which could not be observed.
        rewritten: Whether the table gets a new file.
        scanned: The strongest lock during a read of its rows; None if they are not read.
        written: The number of writes to the rows of the shadow.
        dropped: Whether the revision drops it.
        unvalidated: Constraints that are not validated for old rows yet.
    """

    lock: str | None = None
    known: list[str] = field(default_factory=list)
    rewritten: bool = False
    scanned: str | None = None
    written: int = 0
    dropped: bool = False
    unvalidated: tuple[str, ...] = ()


@dataclass(slots=True)
class Piece:
    """A piece of a revision's work; consecutive batches are one piece.

    Args:
        kind: A concurrent build or batches; None if it is neither.
        seconds: Its duration.
        tables: The existing tables whose rows it read completely, wrote or put into new files.
        writes: Whether it wrote their rows or put them into new files.
        batches: The rows of each batch, with the seconds; without the last batch, which found none.
    """

    kind: str | None
    seconds: float = 0.0
    tables: set[str] = field(default_factory=set)
    writes: bool = False
    batches: list[tuple[int, float]] = field(default_factory=list)


@dataclass(slots=True)
class Trace:
    """The effects of one revision.

    Args:
        sql: Its statements, in order, without queries.
        marks: Its effects on tables, by their names.
        creates: The tables that it creates.
        sample: The number of rows in each table of the shadow, by name; empty if the revision refused them.
        pieces: The pieces of its work, in order.
        retyped: The existing tables and columns with another type afterwards.
    """

    sql: list[str] = field(default_factory=list)
    marks: dict[str, Mark] = field(default_factory=dict)
    creates: tuple[str, ...] = ()
    sample: dict[str, int] = field(default_factory=dict)
    pieces: list[Piece] = field(default_factory=list)
    retyped: tuple[tuple[str, str], ...] = ()

    def settle(self, again: Trace) -> None:
        """Take the shorter duration of each piece, from another observation of the same revision."""
        for one, other in zip(self.pieces, again.pieces, strict=False):
            one.seconds = min(one.seconds, other.seconds)

    @property
    def busy(self) -> set[str]:
        """The tables whose rows it works on; an empty table in the shadow counts too."""
        unseen = {name for name in self.marks if not self.sample.get(name)}
        return unseen.union(*(piece.tables for piece in self.pieces))
