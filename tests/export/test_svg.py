"""The pictures of the tiers hold every table, column and key, each where it can be read."""

from __future__ import annotations

import re
import sys
from itertools import combinations, pairwise
from typing import NamedTuple
from xml.etree import ElementTree as ET

import pytest

from diwa_schema.export import export
from diwa_schema.export.description import TIERS, describe, of_tier
from tests.fixtures_checkout import run

NAMES = {"": "http://www.w3.org/2000/svg"}
WIDTH = 12 * 0.62  # of a character: more than in DejaVu Sans Mono, Menlo, Consolas and Liberation Mono
HEIGHT = 12


class Area(NamedTuple):
    left: float
    top: float
    right: float
    bottom: float

    def holds(self, other: Area) -> bool:
        return (
            self.left <= other.left
            and self.top <= other.top
            and other.right <= self.right
            and other.bottom <= self.bottom
        )

    def meets(self, other: Area) -> bool:
        """Whether they have more in common than an edge."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )


class Drawn(NamedTuple):
    box: Area
    name: str
    texts: list[tuple[str, str, Area]]

    @property
    def columns(self) -> list[str]:
        return [text for kind, text, _ in self.texts if kind == "column"]

    def row(self, column: str) -> Area:
        return next(area for kind, text, area in self.texts if (kind, text) == ("column", column))

    def beside(self, column: str, kind: str) -> str:
        top = self.row(column).top
        return "".join(text for each, text, area in self.texts if each == kind and area.top == top)


class Key(NamedTuple):
    name: str
    told: str
    points: list[tuple[float, float]]
    many: bool

    @property
    def segments(self) -> list[Area]:
        return [
            Area(min(a[0], b[0]), min(a[1], b[1]), max(a[0], b[0]), max(a[1], b[1]))
            for a, b in pairwise(self.points)
        ]


class Picture:
    def __init__(self, tier: str) -> None:
        self.root = ET.fromstring(export("svg")[f"{tier}.svg"])
        self.area = Area(0, 0, float(self.root.attrib["width"]), float(self.root.attrib["height"]))
        groups = self.root.findall("g", NAMES)
        self.tables = {one.name: one for one in map(_drawn, groups) if one}
        self.keys = [
            _key(group, group.attrib["id"].removeprefix(f"{tier}-"))
            for group in groups
            if "id" in group.attrib
        ]
        self.loose = [_text(one)[2] for one in self.root.findall("text", NAMES)]


def _text(element: ET.Element) -> tuple[str, str, Area]:
    text = element.text or ""
    x, y, width = float(element.attrib["x"]), float(element.attrib["y"]), len(text) * WIDTH
    left = x - width if element.get("text-anchor") == "end" else x
    return element.attrib["class"], text, Area(left, y - HEIGHT + 2, left + width, y + 3)


def _drawn(group: ET.Element) -> Drawn | None:
    if "table" not in group.get("class", ""):
        return None
    box = group.find("rect", NAMES)
    assert box is not None
    x, y, width, height = (float(box.attrib[name]) for name in ("x", "y", "width", "height"))
    texts = [_text(one) for one in group.findall("text", NAMES)]
    (name,) = (text for kind, text, _ in texts if kind == "name")
    return Drawn(Area(x, y, x + width, y + height), name.partition(" (")[0], texts)


def _key(group: ET.Element, name: str) -> Key:
    line, *feet = group.findall("path", NAMES)
    points, x, y = [], 0.0, 0.0
    for letter, numbers in re.findall(r"([MHV])([-\d. ]+)", line.attrib["d"]):
        given = [float(number) for number in numbers.split()]
        x, y = (given[0], given[1]) if letter == "M" else (given[0], y) if letter == "H" else (x, given[0])
        points.append((x, y))
    title = group.find("title", NAMES)
    assert title is not None
    return Key(name, title.text or "", points, bool(feet))


@pytest.fixture(params=TIERS)
def picture(request) -> tuple[str, Picture]:
    return request.param, Picture(request.param)


def test_every_table_column_and_key_of_the_tier_is_named(picture):
    tier, drawn = picture
    tables = of_tier(tier)
    for table in tables:
        box = drawn.tables[table.name]
        assert box.columns == [column.name for column in table.columns]
        for column in table.columns:
            keys = {"PK": column.primary_key, "FK": column.refers is not None, "UK": column.unique}
            assert box.beside(column.name, "mark").split() == [mark for mark, holds in keys.items() if holds]
            assert box.beside(column.name, "kind").endswith("?") is column.nullable
    referred = {
        (c.refers.table, c.refers.column) for table in tables for c in table.columns if c.refers is not None
    }
    others = {(box.name, name) for box in drawn.tables.values() for name in box.columns}
    assert referred <= others
    known = {table.name for table in tables} | {name for name, _ in referred}
    assert set(drawn.tables) == known


def test_every_foreign_key_has_its_line_from_its_column_to_the_other(picture):
    tier, drawn = picture
    expected = {
        f"{table.name}.{column.name}": (column, column.refers)
        for table in of_tier(tier)
        for column in table.columns
        if column.refers is not None
    }
    assert {key.name for key in drawn.keys} == set(expected)
    assert len(drawn.keys) == len(expected)
    for key in drawn.keys:
        column, other = expected[key.name]
        table = drawn.tables[key.name.partition(".")[0]]
        begin, end = key.points[0], key.points[-1]
        assert begin[0] in (table.box.left, table.box.right)
        assert table.row(column.name).top < begin[1] < table.row(column.name).bottom
        target = drawn.tables[other.table]
        assert end[0] == target.box.right
        assert target.row(other.column).top < end[1] < target.row(other.column).bottom
        assert key.told == f"{key.name} refers to {other.table}.{other.column}, on delete: {other.on_delete}"
        assert key.many is not (column.unique or column.primary_key)


def test_the_foreign_keys_of_all_tiers_are_drawn():
    keys = [key.name for tier in TIERS for key in Picture(tier).keys]
    assert (
        len(keys) == len(set(keys)) == sum(bool(one.refers) for table in describe() for one in table.columns)
    )
    names = {name for tier in TIERS for name in Picture(tier).tables}
    assert names == {table.name for table in describe()}


def test_boxes_stand_apart_and_within_the_picture(picture):
    _, drawn = picture
    boxes = [table.box for table in drawn.tables.values()]
    assert all(drawn.area.holds(box) for box in boxes)
    assert [pair for pair in combinations(boxes, 2) if pair[0].meets(pair[1])] == []
    for loose in drawn.loose:
        assert drawn.area.holds(loose)
        assert not any(loose.meets(box) for box in boxes)


def test_texts_fit_their_boxes_and_do_not_touch(picture):
    _, drawn = picture
    for table in drawn.tables.values():
        for _, text, area in table.texts:
            assert table.box.holds(area), (table.name, text)
        pairs = combinations(table.texts, 2)
        assert [(one[1], other[1]) for one, other in pairs if one[2].meets(other[2])] == []


def test_no_line_crosses_a_box(picture):
    _, drawn = picture
    for key in drawn.keys:
        for line in key.segments:
            assert drawn.area.holds(line)
            crossed = [table.name for table in drawn.tables.values() if _crosses(line, table.box)]
            assert crossed == [], key.name


def _crosses(line: Area, box: Area) -> bool:
    return line.left < box.right and line.right > box.left and line.top < box.bottom and line.bottom > box.top


def test_lines_to_different_tables_do_not_run_in_one(picture):
    """They may cross, and those to one table come together."""
    _, drawn = picture
    targets = {key.name: key.told.split(" refers to ")[1].partition(".")[0] for key in drawn.keys}
    for one, other in combinations(drawn.keys, 2):
        if targets[one.name] == targets[other.name]:
            continue
        for line in one.segments:
            for beside in other.segments:
                assert not _together(line, beside), (one.name, other.name)


def _together(one: Area, other: Area) -> bool:
    upright = one.left == one.right == other.left == other.right
    level = one.top == one.bottom == other.top == other.bottom
    return (upright and one.top < other.bottom and other.top < one.bottom) or (
        level and one.left < other.right and other.left < one.right
    )


def test_it_is_the_same_in_every_process():
    code = "from diwa_schema.export import export; print(''.join(export('svg').values()), end='')"
    made = [run([sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, check=0).stdout for seed in "12"]
    assert made[0] == made[1] == "".join(export("svg").values())
