"""A run is killed at a statement, or one of its connections is: the next run ends as an undisturbed one.

Each point is tried on a database of its own. Beside the sample that always runs stands the whole matrix
(`nox -s matrix`): revisions that call the same steps are killed alike, so the sample has the first of each kind.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
import pytest

from diwa_schema.migrations import versions
from diwa_schema.migrations.manifest import load
from tests.fixtures_databases import database_name
from tests.fixtures_server import MEMORY, Server
from tests.run import seeds
from tests.run.asking import value
from tests.run.fingerprint import fingerprint
from tests.run.histories import extended
from tests.run.launcher import KILLED, Launcher, Outcome
from tests.run.traffic import Reader
from tests.sampling import MATRIX

REPLAY, SNAPSHOT, BACK = "replay", "snapshot", "back to base"
EMPTY_AT = "empty at "
# More values than are converted in one batch.
ROWS = 30
AT_ONCE = 2

SPECIAL = [step.revision for step in load() if not step.transactional]


def kinds() -> dict[str, list[str]]:
    """Return the revisions without a transaction by the steps that they call."""
    found: dict[str, list[str]] = {}
    for revision in SPECIAL:
        (path,) = Path(versions.__path__[0]).glob(f"{revision}_*.py")
        upgrade = path.read_text(encoding="utf-8").partition("def upgrade()")[2].partition("\n\n\n")[0]
        found.setdefault(" ".join(re.findall(r"steps\.(\w+)\(", upgrade)), []).append(revision)
    return found


def tried(*scenes: str) -> list[Any]:
    """Return each scene with whether all of its points are tried, and whether only the whole matrix has it."""
    alike = {revision for _, *others in kinds().values() for revision in others}
    sampled = [pytest.param(scene, False, id=f"{scene}-sample") for scene in scenes if scene not in alike]
    return [*sampled, *(pytest.param(scene, True, id=f"{scene}-all", marks=MATRIX) for scene in scenes)]


SCENES = [REPLAY, SNAPSHOT, BACK, *SPECIAL]

READS = re.compile(r"\s*(SELECT|SHOW|PRAGMA)\b", re.IGNORECASE)

KILL = "kill"
IN_FLIGHT = "kill-running"
# Which connections to end: patterns of application_name.
WORK = "diwa-schema diwa/"
LOCK = "diwa-schema migrate"

# As many points the sample has at most of each scene, killed and otherwise.
KILLS = {REPLAY: 4, SNAPSHOT: 4, BACK: 4}
OTHER_KILLS, OTHER = 2, 2
BOTH = [pytest.param(False, id="sample"), pytest.param(True, id="all", marks=MATRIX)]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the runs of one scene happen: copies of a database as it is before them.

    Args:
        scene: What is done: replay, snapshot, all of it reversed, or one revision on tables with rows.
        fresh: Makes a new copy and returns its URL.
        discard: Takes a copy away.
    """

    scene: str
    fresh: Callable[[], str]
    discard: Callable[[str], None]

    def command(self, url: str) -> list[str]:
        if self.scene == BACK:
            return ["downgrade", "base", "--url", url]
        if self.scene in (REPLAY, SNAPSHOT):
            return ["upgrade", "--url", url, *(["--replay"] if self.scene == REPLAY else [])]
        return ["upgrade", self.scene, "--url", url]


def before(launcher: Launcher, scene: str, url: str) -> None:
    """Bring an empty database to where a scene begins."""
    if scene == BACK:
        assert launcher.run("upgrade", "--url", url).code == 0
    if scene in SPECIAL:
        down = load().get(scene).down_revision
        assert down is not None
        assert launcher.run("upgrade", down, "--url", url, "--replay").code == 0
        seeds.fill(url, ROWS)


@pytest.fixture(scope="session")
def templates(server: Server) -> Iterator[dict[str, str]]:
    """The databases at which scenes begin, by their scene."""
    made: dict[str, str] = {}
    yield made
    for name in made.values():
        server.drop(name)


@pytest.fixture
def postgres_place(launcher: Launcher, server: Server, templates: dict[str, str], scene: str) -> Place:
    if scene not in templates:
        name = database_name()
        if scene in SPECIAL:
            # The way to where a scene begins goes on from where an earlier one began, whose rows it had not got yet.
            down = load().get(scene).down_revision or ""
            seeds.fill(server.create(name, _empty(launcher, server, templates, down)), ROWS)
        else:
            before(launcher, scene, server.create(name))
        templates[scene] = name

    def fresh() -> str:
        return server.create(database_name(), templates[scene])

    return Place(scene, fresh, lambda url: server.drop(url.rpartition("/")[2]))


def _empty(launcher: Launcher, server: Server, templates: dict[str, str], revision: str) -> str:
    """Return the name of a database without rows at a revision, made from the nearest one below it."""
    key = f"{EMPTY_AT}{revision}"
    if key not in templates:
        below = max((one for one in templates if one.startswith(EMPTY_AT) and one < key), default=None)
        name = database_name()
        url = server.create(name, templates[below]) if below else server.create(name)
        assert launcher.run("upgrade", revision, "--url", url, "--replay").code == 0
        templates[key] = name
    return templates[key]


@pytest.fixture
def sqlite_place(launcher: Launcher, scene: str) -> Iterator[Place]:
    # In memory where that is possible: a run waits for the disk at each of its commits.
    with TemporaryDirectory(prefix="diwa-kill-", dir=MEMORY if MEMORY.is_dir() else None) as folder:
        template = Path(folder) / "template.db"
        before(launcher, scene, f"sqlite:///{template}")

        def fresh() -> str:
            path = Path(folder) / f"{database_name()}.db"
            if template.exists():
                shutil.copy(template, path)
            return f"sqlite:///{path}"

        yield Place(scene, fresh, lambda url: Path(url.removeprefix("sqlite:///")).unlink(missing_ok=True))


class Matrix:
    """Tries points of one scene, each on a database of its own.

    Args:
        launcher: Starts the runs.
        place: Where they happen.
    """

    def __init__(self, launcher: Launcher, place: Place) -> None:
        self.launcher = launcher
        self.place = place
        url = place.fresh()
        untouched = fingerprint(url)
        outcome = launcher.run(*place.command(url))
        assert outcome.code == 0, outcome.err
        self.log = outcome.log
        self.expected = fingerprint(url)
        self.applied = applied(url)
        assert self.expected != untouched
        place.discard(url)

    def points(self, how: str) -> list[int]:
        """Return the statements before which something can be done, and one past the last for a kill."""
        if how in (KILL, IN_FLIGHT):
            return list(range(1, len(self.log) + 1 + (how == KILL)))
        named = [number for number, (name, _) in enumerate(self.log, 1) if matches(how, name)]
        return list(range(named[0] + 1, named[-1] + 1))

    def attempt(self, points: Iterable[int], how: str) -> list[Outcome]:
        """Disturb a run at each of the points, run it again, and compare; return how the first runs ended."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(lambda at: self._one(at, how), points))

    def _one(self, at: int, how: str) -> Outcome:
        url = self.place.fresh()
        about = (
            f"{self.place.scene}, {how} at {at} of {len(self.log)}: {self.log[min(at, len(self.log)) - 1]}"
        )
        disturbed = self.launcher.run(*self.place.command(url), url=url, at=at, how=how)
        # A run that gets by with fewer statements than the undisturbed one can be over before that point.
        ends = (KILLED, 0) if how in (KILL, IN_FLIGHT) else (6, 0)
        assert disturbed.code in ends, f"{about}\n{disturbed.err}"
        assert "not foreseen" not in disturbed.err, f"{about}\n{disturbed.err}"
        assert "Traceback" not in disturbed.err, f"{about}\n{disturbed.err}"
        self.finish(url, about)
        return disturbed

    def twice(self, first: int, second: int) -> bool:
        """Kill a run at a statement and the run after it at another, compare the third; tell if both were killed."""
        url = self.place.fresh()
        command = self.place.command(url)
        codes = [self.launcher.run(*command, at=at).code for at in (first, second)]
        assert set(codes) <= {KILLED, 0}, codes
        self.finish(url, f"{self.place.scene}, killed at {first}, then at {second}: {codes}")
        return codes == [KILLED, KILLED]

    def finish(self, url: str, about: str) -> None:
        """Run the command to its end and compare what is there then with what an undisturbed run left."""
        again = self.launcher.run(*self.place.command(url))
        assert again.code == 0, f"{about}\n{again.err}"
        assert applied(url) == self.applied, about
        assert fingerprint(url) == self.expected, about
        self.place.discard(url)


def matches(pattern: str, name: str) -> bool:
    return name == pattern[:-1] if pattern.endswith("$") else name.startswith(pattern)


def spread(points: list[int], most: int) -> list[int]:
    """Return at most so many of the points, evenly spread, the first and the last among them."""
    if len(points) <= most:
        return points
    return sorted({points[round(number * (len(points) - 1) / (most - 1))] for number in range(most)})


def sample(matrix: Matrix, how: str, most: int | None = None) -> list[int]:
    """Return the points that are always tried, or at most so many of their kind.

    Killed between two reads a run leaves what it leaves before the first of them: only points after a
    statement that changes something are taken.
    """
    points = matrix.points(how)
    if how == KILL:
        points = [at for at in points if at == 1 or not READS.match(matrix.log[at - 2][1])]
        return spread(points, most or KILLS.get(matrix.place.scene, OTHER_KILLS))
    return spread(points, OTHER)


def applied(url: str) -> list[str]:
    """Return the revision of each entry that the ledger has of an applied one."""
    query = "SELECT revision FROM diwa_schema_ledger WHERE outcome = 'applied' ORDER BY id"
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as lite:
            return [row[0] for row in lite.execute(query)]
    with psycopg.connect(url) as connection:
        return [row[0] for row in connection.execute(query)]


@pytest.fixture
def on_postgresql(launcher: Launcher, postgres_place: Place) -> Matrix:
    return Matrix(launcher, postgres_place)


@pytest.fixture
def on_sqlite(launcher: Launcher, sqlite_place: Place) -> Matrix:
    return Matrix(launcher, sqlite_place)


# What becomes of a connection that ends is decided in one place: the sample has it for one revision of steps.
ENDED = [one for one in tried(*SCENES) if one.values[1] or one.values[0] == SPECIAL[0]]


@pytest.mark.parametrize(
    ("scene", "whole", "how"),
    [
        pytest.param(*one.values, how, id=f"{one.id}-{how}", marks=one.marks)
        for how in (KILL, IN_FLIGHT, WORK, LOCK)
        for one in (tried(*SCENES) if how == KILL else ENDED)
    ],
)
def test_on_postgresql(on_postgresql, how, whole, measured):
    every = on_postgresql.points(how)
    points = every if whole else sample(on_postgresql, how)
    outcomes = on_postgresql.attempt(points, how)
    failed = sum(outcome.code != 0 for outcome in outcomes)
    measured(f"{len(points)} of {len(every)} points tried, {failed} of them stopped the run")
    # A run that is as good as over at the last point ends well.
    assert failed >= len(points) / 2


@pytest.mark.parametrize(("scene", "whole"), tried(*SCENES))
def test_on_sqlite(on_sqlite, whole, measured):
    every = on_sqlite.points(KILL)
    points = every if whole else sample(on_sqlite, KILL)
    outcomes = on_sqlite.attempt(points, KILL)
    assert {outcome.code for outcome in outcomes} == {KILLED}
    measured(f"{len(points)} of {len(every)} points tried")


TWICE = [one for one in tried(*SPECIAL) if one.values[1] or one.values[0] in (SPECIAL[0], SPECIAL[-1])]


@pytest.mark.parametrize(("scene", "whole"), TWICE)
def test_the_run_after_a_kill_is_killed_as_well(on_postgresql, whole, measured):
    points = sample(on_postgresql, KILL, 12 if whole else 3)[1:-1]
    parts = (0.1, 0.3, 0.5, 0.7, 0.9) if whole else (0.3, 0.6)
    pairs = [(first, max(1, round(part * len(on_postgresql.log)))) for first in points for part in parts]
    both = sum(on_postgresql.twice(*pair) for pair in pairs)
    measured(f"{len(pairs)} pairs of kill points tried, {both} of them reached")
    assert both


LOOKS = "unnest.pg_blocking_pids"


@pytest.mark.parametrize("how", [KILL, "diwa-schema watch"])
@pytest.mark.parametrize("at", [2])
def test_while_it_looks_who_is_in_the_way(launcher, postgres, tmp_path, how, at):
    history = extended(tmp_path / "history", "op.add_column('memories', sa.Column('extra', sa.Text()))")
    assert launcher.run("upgrade", "--url", postgres).code == 0
    command = ["upgrade", "--url", postgres]
    with Reader(postgres, 3):
        disturbed = launcher.run(*command, history=history, url=postgres, match=LOOKS, at=at, how=how)
    # The run can do without that connection; without its process it cannot.
    assert disturbed.code == (KILLED if how == KILL else 0), disturbed.err
    assert disturbed.reached or how == KILL
    assert launcher.run(*command, history=history).code == 0
    columns = "SELECT count(*) FROM pg_attribute WHERE attrelid = 'memories'::regclass AND attname = 'extra'"
    assert value(postgres, columns) == 1
