"""The web service passes its own tests, with the server of this run."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.fixtures_checkout import run
from tests.fixtures_server import Server

ROOT = Path(__file__).parents[2]
SERVICE = ROOT / "examples" / "memory-service"


def test_the_service_passes_its_own_tests_on_each_database(server: Server) -> None:
    surroundings = {
        "PYTHONPATH": os.pathsep.join([str(SERVICE / "src"), str(ROOT / "src")]),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "DIWA_TEST_DATABASE_URL": server.admin_url,
    }
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "diwa_schema.testing",
        "-rA",
    ]
    done = run([*command, "tests"], cwd=SERVICE, env=surroundings, check=0)
    assert "skipped" not in done.stdout
    for driver in ("aiosqlite", "psycopg", "asyncpg"):
        assert f"[{driver}]" in done.stdout
