"""A generated history, checked at every commit against a plain comparison of its trees."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest

from .checkouts import ECTO, NOT_PORTED, PORTED, Checkout, ported

COMMITS = 100
CHUNKS = 4
SEED = 20251224
LIST = ".diwa-schema/ported.toml"
PYPROJECT = '[project]\nname = "diwa-agent"\n'
PLACES = (ECTO, "alembic/versions")
PORTED_FILE = f"{ECTO}/{PORTED}_tenancy.exs"

Tree = dict[str, str]


@dataclass
class Commit:
    """One commit, by its number, with the whole of its tree; and where main stood when it was made."""

    number: int
    parents: list[int]
    tree: Tree
    base: int = 0
    common: int = 0


def is_migration(path: str) -> bool:
    return path.startswith(PLACES)


def expected(commit: Commit, history: list[Commit]) -> list[str]:
    """Say what has to be found, from nothing but two trees."""
    before = history[commit.common].tree
    new = [
        path for path, content in commit.tree.items() if is_migration(path) and before.get(path) != content
    ]
    listed = commit.tree.get(LIST, "")
    accepted = ported(PORTED_FILE, commit.tree.get(PORTED_FILE, "")) == listed
    wrong = [LIST] if listed and PORTED_FILE in commit.tree and not accepted else []
    return sorted(wrong + [path for path in new if not (path == PORTED_FILE and listed)])


def step(tree: Tree, chance: random.Random, number: int) -> Tree:
    """Return a tree with one thing changed in it."""
    tree = dict(tree)
    migrations = sorted(filter(is_migration, tree))
    others = sorted(path for path in tree if path.startswith("lib/"))
    place = f"{chance.choice(PLACES)}/{int(NOT_PORTED) + number}_x.exs"
    match chance.randrange(9):
        case 0:
            tree[place] = f"content {chance.randrange(3)}"
        case 1 if migrations:
            tree[chance.choice(migrations)] = f"content {chance.randrange(3)}"
        case 2 if migrations:
            del tree[chance.choice(migrations)]
        case 3 if others:
            tree[place] = tree.pop(chance.choice(others))
        case 4 if migrations:
            tree[f"lib/{number}.ex"] = tree.pop(chance.choice(migrations))
        case 5 if migrations:
            tree[place] = tree.pop(chance.choice(migrations))
        case 6 if others:
            tree[place] = tree[chance.choice(others)]
        case 7:
            tree[PORTED_FILE] = f"ported {chance.randrange(2)}"
            tree[LIST] = ported(PORTED_FILE, "ported 1")
        case _:
            tree[f"lib/{number}.ex"] = f"module {number}"
    return tree


def generate() -> list[Commit]:
    """Return a history of branches that part from main, lag behind it and are merged into it."""
    chance = random.Random(SEED)
    history = [Commit(0, [], {"pyproject.toml": PYPROJECT, f"{ECTO}/20250101000001_old.exs": "old"})]
    main = 0

    def add(parents: list[int], tree: Tree, base: int, common: int) -> int:
        history.append(Commit(len(history), parents, tree, base, common))
        return len(history) - 1

    while len(history) < COMMITS:
        parted = tip = main
        for _ in range(chance.randrange(1, 9)):
            if chance.random() < 0.25:
                main = add([main], step(history[main].tree, chance, len(history)), main, main)
            tip = add([tip], step(history[tip].tree, chance, len(history)), main, parted)
        merged = {**history[main].tree, **history[tip].tree}
        main = add([main, tip], merged, main, main) if tip != parted else main
    return history[:COMMITS]


def fast_import(history: list[Commit]) -> str:
    """Return the history as input for `git fast-import`."""
    parts = []
    for commit in history:
        parts.append(f"commit refs/heads/all\nmark :{commit.number + 1}\n")
        parts.append("committer t <t@example.invalid> 1700000000 +0000\ndata 1\nx\n")
        if commit.parents:
            first, *others = (f":{number + 1}\n" for number in commit.parents)
            parts.append(f"from {first}" + "".join(f"merge {other}" for other in others))
        parts.append("deleteall\n")
        parts += (f"M 100644 inline {path}\ndata {len(text)}\n{text}\n" for path, text in commit.tree.items())
    return "".join(parts)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_every_commit_is_judged_as_its_trees_say(tmp_path, chunk):
    history = generate()
    repository = Checkout(tmp_path / "agent", "")
    marks = tmp_path / "marks"
    repository.git("fast-import", "--quiet", "--force", f"--export-marks={marks}", stdin=fast_import(history))
    ids = dict(line.split() for line in marks.read_text().splitlines())
    assert len(ids) == COMMITS

    found = 0
    for commit in history[chunk::CHUNKS]:
        repository.git("checkout", "-q", "--force", "--detach", ids[f":{commit.number + 1}"])
        errors = sorted(set(repository.errors(ids[f":{commit.base + 1}"])))
        assert errors == expected(commit, history), commit
        found += bool(errors)
    assert COMMITS // CHUNKS // 3 < found < COMMITS // CHUNKS
