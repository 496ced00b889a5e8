"""The entity diagram as a picture: an SVG for each tier, with the referenced tables of other tiers.

A table stands to the right of each table that it refers to. Lines run between the columns of tables, and each target
has its own lane there. Lines also pass through a column, where a free place is reserved for them, so that no line
crosses a box. Widths are counted in characters of a monospaced font. All numbers are integers, so the text is the same
on every system.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from typing import NamedTuple

from diwa_schema.export.description import TIERS, Column, Reference, Table, Tier, describe, of_tier
from diwa_schema.export.mermaid import TYPES, marks

SIZE = 12  # of the font
CHARACTER = 8  # the widest such font has 0.61 of its size
ROW = 18
PAD = 8
SPACE = 2 * ROW  # between boxes
LANE = 10
MARGIN = 24
SHIFT = 5  # of each column below the one before, so that no two lines run at the same height
TALLEST = 62  # rows of a column, before tables without references to them move on

_STYLE = (
    f"text{{font:{SIZE}px ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace;fill:#1c2733}}"
    ".name{font-weight:bold;fill:#fff}.kind{fill:#5b6b7b}.mark{fill:#9a4a00}"
    ".box{fill:#fff;stroke:#8796a5}.head{fill:#2f5d8a}.other .head{fill:#8796a5}"
    ".key{fill:none;stroke:#5b6b7b;shape-rendering:crispEdges}.foot{fill:none;stroke:#5b6b7b}"
)


@dataclass(eq=False)
class _Box:
    """A drawn table, or, without a table, a reserved place for the lines to another table."""

    target: str
    table: Table | None = None
    columns: tuple[Column, ...] = ()
    other: bool = False
    y: int = 0

    @property
    def rows(self) -> int:
        return len(self.columns) + 1 if self.table else 1

    @property
    def height(self) -> int:
        return self.rows * ROW

    def middle(self, column: str = "") -> int:
        """Return the height of the middle of a column's row, or of the reserved place."""
        names = [one.name for one in self.columns]
        return self.y + (names.index(column) + 1 if column else 0) * ROW + ROW // 2


@dataclass(eq=False)
class _Rank:
    """Tables in one column, and the lanes to their right."""

    boxes: list[_Box] = field(default_factory=list)
    lanes: list[str] = field(default_factory=list)
    x: int = 0
    width: int = 0

    @property
    def right(self) -> int:
        return self.x + self.width

    def of(self, target: str) -> _Box:
        """Return the box of a table, or the reserved place for the lines to it."""
        return next(box for box in self.boxes if box.target == target)

    def lane(self, target: str) -> int:
        return self.right + MARGIN + self.lanes.index(target) * LANE


class _Line(NamedTuple):
    """A foreign key."""

    table: Table
    column: Column
    to: Reference


def export() -> dict[str, str]:
    """Return a picture for each tier."""
    return {f"{tier}.svg": _Drawing(tier).text() for tier in TIERS}


class _Drawing:
    """The picture of a tier: the positions first, then the text."""

    def __init__(self, tier: Tier) -> None:
        self.tier = tier
        tables = of_tier(tier)
        self.lines = [
            _Line(table, column, column.refers)
            for table in tables
            for column in table.columns
            if column.refers is not None
        ]
        own = {table.name for table in tables}
        elsewhere = {line.to.table: line.to.column for line in self.lines if line.to.table not in own}
        boxes = [_Box(table.name, table, table.columns) for table in tables]
        for table in describe():
            if (key := elsewhere.get(table.name)) is not None:
                shown = tuple(column for column in table.columns if column.name == key)
                boxes.append(_Box(table.name, table, shown, other=True))
        self.ranks = self._ranks(boxes)
        self.at = {box.target: rank for rank in self.ranks for box in rank.boxes if box.table}
        self._keep_free()
        self._place()

    def _ranks(self, boxes: list[_Box]) -> list[_Rank]:
        """Return the columns of tables, each to the right of the referenced ones, and all of similar height."""
        referred = defaultdict(set)
        for line in self.lines:
            if line.to.table != line.table.name:
                referred[line.table.name].add(line.to.table)

        def depth(name: str) -> int:
            return 1 + max(map(depth, referred[name]), default=-1)

        levels: dict[int, list[_Box]] = defaultdict(list)
        for box in boxes:
            levels[depth(box.target)].append(box)
        asked = set().union(*referred.values())
        # A table without references goes to a column with free space.
        alone = [box for box in levels[0] if box.target not in asked]
        levels[0] = [box for box in levels[0] if box.target in asked]
        level = 0
        while level <= max(levels):
            movable = [box for box in levels[level] if box.target not in asked]
            while _rows(levels[level]) > TALLEST and movable:
                levels[level].remove(box := movable.pop())
                levels[level + 1].insert(0, box)
            level += 1
        for box in alone:
            min((levels[each] for each in sorted(levels)), key=_rows).append(box)
        return [_Rank(levels[each]) for each in sorted(levels)]

    def _keep_free(self) -> None:
        """Reserve a place in each column that lines pass, and a lane for each target beside it."""
        for line in self.lines:
            first, last = self.ranks.index(self.at[line.to.table]), self.ranks.index(self.at[line.table.name])
            for rank in self.ranks[first : max(last, first + 1)]:
                if line.to.table not in rank.lanes:
                    rank.lanes.append(line.to.table)
                if all(box.target != line.to.table for box in rank.boxes):
                    rank.boxes.insert(0, _Box(line.to.table))

    def _place(self) -> None:
        x = MARGIN
        for number, rank in enumerate(self.ranks):
            rank.x, rank.width = x, max(map(_width, rank.boxes))
            y = MARGIN + 2 * ROW + number * SHIFT
            for box in rank.boxes:
                box.y = y
                y += box.height + (SPACE if box.table else ROW // 2)
            x = rank.right + 2 * MARGIN + max(len(rank.lanes) - 1, 0) * LANE
        # A target's lane begins at the target's position, so that the lowest lanes cross the fewest others.
        for rank in self.ranks:
            rank.lanes.sort(key=lambda target, rank=rank: -rank.of(target).y)  # type: ignore[misc]

    def text(self) -> str:
        """Return the picture."""
        last = self.ranks[-1]
        width = last.right + MARGIN + (2 + len(last.lanes)) * LANE
        bottom = max(box.y + box.height for rank in self.ranks for box in rank.boxes)
        legend = "PK key of the row, FK refers to another row, UK unique, ? may be NULL"
        height = bottom + 2 * ROW + MARGIN
        size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="{self.tier}">',
            f'<title id="{self.tier}">Entities of the {self.tier} tier</title>',
            f"<style>{_STYLE}</style>",
            f'<rect width="{width}" height="{height}" fill="#f6f8fa"/>',
            _text(MARGIN, MARGIN + ROW // 2, f"{self.tier.capitalize()} tier", "title"),
            *(self._key(line) for line in self.lines),
            *(part for rank in self.ranks for box in rank.boxes if box.table for part in _drawn(box, rank)),
            _text(MARGIN, height - MARGIN, legend, "kind"),
            "</svg>",
        ]
        return "\n".join(parts) + "\n"

    def _key(self, line: _Line) -> str:
        """Return the line of a foreign key, from the referring column to the referenced one."""
        rank, target = self.at[line.table.name], self.at[line.to.table]
        at, end = self.ranks.index(rank), self.ranks.index(target)
        y = rank.of(line.table.name).middle(line.column.name)
        own = at == end  # the row refers to another one of its own table
        steps = [f"M{rank.right if own else rank.x} {y}"]
        for passed in self.ranks[end : at or 1][::-1] if not own else [rank]:
            box = passed.of(line.to.table)
            steps += [f"H{passed.lane(line.to.table)}", f"V{box.middle(line.to.column if box.table else '')}"]
        steps.append(f"H{target.right}")
        name = f"{line.table.name}.{line.column.name}"
        told = escape(f"{name} refers to {line.to.table}.{line.to.column}, on delete: {line.to.on_delete}")
        foot = _foot(rank.right, y, 1) if own else _foot(rank.x, y, -1)
        single = line.column.unique or line.column.primary_key
        return (
            f'<g id="{self.tier}-{name}"><title>{told}</title><path class="key" d="{"".join(steps)}"/>'
            f"{'' if single else foot}</g>"
        )


def _foot(x: int, y: int, way: int) -> str:
    """Return the mark for many rows at the end of a line, which leaves the box to the right (1) or to the left (-1)."""
    return f'<path class="foot" d="M{x} {y - 5}L{x + way * PAD} {y}L{x} {y + 5}"/>'


def _rows(boxes: list[_Box]) -> int:
    return sum(box.rows + SPACE // ROW for box in boxes)


def _width(box: _Box) -> int:
    if box.table is None:
        return 0
    wide = [_marked(box) + len(one.name) + 2 + len(_kind(one)) for one in box.columns]
    return max(*wide, len(_name(box))) * CHARACTER + 2 * PAD


def _name(box: _Box) -> str:
    tier = f" ({box.table.tier})" if box.table and box.other else ""
    return box.target + tier


def _marked(box: _Box) -> int:
    """Return the width of the marks before the names, in characters."""
    return max(len(" ".join(marks(one))) for one in box.columns) + 1


def _kind(column: Column) -> str:
    return TYPES.get(column.kind, column.kind) + ("?" if column.nullable else "")


def _drawn(box: _Box, rank: _Rank) -> Iterator[str]:
    meaning = escape(box.table.meaning if box.table else "")
    yield f'<g class="table{" other" if box.other else ""}"><title>{meaning}</title>'
    place = f'x="{rank.x}" y="{box.y}" width="{rank.width}"'
    yield f'<rect class="box" {place} height="{box.height}"/><rect class="head" {place} height="{ROW}"/>'
    yield _text(rank.x + PAD, box.middle(), _name(box), "name")
    names = rank.x + PAD + _marked(box) * CHARACTER
    for column in box.columns:
        y = box.middle(column.name)
        if found := marks(column):
            yield _text(rank.x + PAD, y, " ".join(found), "mark")
        yield _text(names, y, column.name, "column")
        yield _text(rank.right - PAD, y, _kind(column), "kind", end=True)
    yield "</g>"


def _text(x: int, y: int, text: str, kind: str, *, end: bool = False) -> str:
    anchor = ' text-anchor="end"' if end else ""
    return f'<text class="{kind}" x="{x}" y="{y + 4}"{anchor}>{escape(text)}</text>'
