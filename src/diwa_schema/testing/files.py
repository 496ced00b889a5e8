"""A database for every test as an SQLite file, a copy of a template."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

from diwa_schema.api import migrate
from diwa_schema.database.target import Target
from diwa_schema.database.url import sqlite_url
from diwa_schema.guard import OwnDatabase
from diwa_schema.testing import place
from diwa_schema.testing.fingerprint import fingerprint

UNUSED = 7 * 24 * 3600.0  # seconds after which a template is removed


class Files:
    """Test databases in a folder that only this run uses."""

    def __init__(self) -> None:
        folder = place.folder() / "sqlite"
        folder.mkdir(exist_ok=True)
        self._count = 0
        self._open: dict[str, OwnDatabase] = {}
        with place.locked(folder / "lock"):
            template = _template(folder)
            self._run = Path(tempfile.mkdtemp(prefix="run-", dir=folder))
            self._alive = place.lock(self._run / "alive")
            # The run keeps its own copy: during a long run, another run may remove the template as unused.
            self._template = Path(shutil.copyfile(template, self._run / "template.db"))
            _remove_unused(folder)

    def create(self) -> str:
        """Return the URL of a new copy; the guard allows changes to it until it is dropped."""
        self._count += 1
        path = self._run / f"{self._count}.db"
        shutil.copyfile(self._template, path)
        url = sqlite_url(path)
        self._open[url] = OwnDatabase(Target.of(url).identity).__enter__()
        return url

    def drop(self, url: str) -> None:
        """Remove a copy and the additional files of SQLite."""
        self._open.pop(url).__exit__()
        path = Path(Target.of(url).url.driver)
        for file in path.parent.glob(f"{path.name}*"):
            file.unlink()

    def close(self) -> None:
        """Remove the run's folder."""
        for url in list(self._open):
            self.drop(url)
        shutil.rmtree(self._run)
        if self._alive is not None:
            os.close(self._alive)


def _template(folder: Path) -> Path:
    """Return the template for the installed history; build it if absent."""
    path = folder / f"template-{fingerprint()}.db"
    if path.exists():
        path.touch()
        return path
    # A finished template gets its final name: a file with another name is incomplete.
    unfinished = folder / "unfinished.db"
    for file in folder.glob(f"{unfinished.name}*"):
        file.unlink()
    url = sqlite_url(unfinished)
    with OwnDatabase(Target.of(url).identity):
        migrate(url)
    return unfinished.rename(path)


def _remove_unused(folder: Path) -> None:
    """Remove the folders of ended runs, and templates that have not been used for a long time."""
    for run in folder.glob("run-*"):
        descriptor = place.lock(run / "alive", wait=False)
        if descriptor is not None:
            shutil.rmtree(run)
            os.close(descriptor)
    for template in folder.glob("template-*.db"):
        if time.time() - template.stat().st_mtime > UNUSED:
            template.unlink()
