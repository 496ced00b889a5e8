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
    """What one revision does to one table that was there before it.

    Args:
        lock: The strongest lock that it takes; None where it takes none.
        known: What is known from the kind of step, because it could not be observed.
        rewritten: Whether the table gets a new file.
        scanned: The strongest lock under which its rows are read; None where they are not.
        written: How many of the rows that were put into the shadow are written, each time counted.
        dropped: Whether it is gone afterwards.
        unvalidated: Constraints that do not hold for the old rows yet.
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
    """A piece of a revision's work; batches that follow each other are one.

    Args:
        kind: What it is known to be: a concurrent build or batches; None where it is neither.
        seconds: How long it took.
        tables: The tables that were there before and whose rows it read as a whole, wrote or put into new files.
        writes: Whether it wrote rows of theirs or put them into new files.
        batches: The rows that each of its batches took, with the seconds; the last one, which found none, is no part.
    """

    kind: str | None
    seconds: float = 0.0
    tables: set[str] = field(default_factory=set)
    writes: bool = False
    batches: list[tuple[int, float]] = field(default_factory=list)


@dataclass(slots=True)
class Trace:
    """What one revision does.

    Args:
        sql: Its statements, in order; what it only asks is left out.
        marks: What it does to tables, by their names.
        creates: The tables that it makes.
        sample: How many rows each table of the shadow had, by name; empty where the revision refused them.
        pieces: The pieces of its work, in order.
        retyped: The tables and columns that were there before and have another type afterwards.
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
        """The tables whose rows it works on; of one that was empty nobody has seen whether it does."""
        unseen = {name for name in self.marks if not self.sample.get(name)}
        return unseen.union(*(piece.tables for piece in self.pieces))
