"""Other tools that bring a database to their head, each as its own command in an environment that has it."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass

from benchmarks import report
from benchmarks.bench import Bench
from benchmarks.measure import FEWEST_ROUNDS, Sample, process

SETTINGS = """
import os
from urllib.parse import parse_qs, urlsplit

parts = urlsplit(os.environ["PEER_URL"])
options = {name: values[0] for name, values in parse_qs(parts.query).items()}
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path[1:],
        "USER": parts.username,
        "PASSWORD": parts.password or "",
        "HOST": options.get("host", parts.hostname),
        "PORT": options.get("port", parts.port),
    }
}
INSTALLED_APPS = [
    f"django.contrib.{name}"
    for name in ("admin", "auth", "contenttypes", "flatpages", "messages", "redirects", "sessions", "sites")
]
SITE_ID = 1
USE_TZ = True
"""
COUNT = (
    "import importlib.util, pathlib, sys\n"
    "found = pathlib.Path(importlib.util.find_spec(sys.argv[1]).origin).parent\n"
    "print(sum(1 for pattern in sys.argv[2:] for _ in found.glob(pattern)))"
)


@dataclass(frozen=True, slots=True)
class Peer:
    """A tool.

    Args:
        name: What it is called.
        module: The module that it is.
        arguments: What is handed to the interpreter; the database's URL follows, but for Django.
        revisions: Where its revisions are, from the module's folder.
        one_by_one: Whether it runs its revisions on an empty database, not all at once.
    """

    name: str
    module: str
    arguments: tuple[str, ...]
    revisions: str
    one_by_one: bool = True

    def run(self, bench: Bench, python: str, url: str) -> float:
        """Return how long it takes to bring a database to head, in milliseconds."""
        named = () if self.module == "django" else (url.replace("postgresql://", "postgresql+psycopg://", 1),)
        env = {"PEER_URL": url, "DJANGO_SETTINGS_MODULE": "bench_settings", "PYTHONPATH": str(bench.folder)}
        return process(*self.arguments, *named, env={**os.environ, **env}, program=python)

    def count(self, python: str) -> int:
        """Return how many revisions it has; 0 where it is not installed."""
        command = [python, "-c", COUNT, self.module, self.revisions]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return int(done.stdout) if done.returncode == 0 else 0


PEERS = (
    Peer("Django", "django", ("-m", "django", "migrate", "--skip-checks"), "contrib/*/migrations/[0-9]*.py"),
    Peer("MLflow", "mlflow", ("-m", "mlflow", "db", "upgrade"), "store/db_migrations/versions/*.py"),
    Peer(
        "Optuna",
        "optuna",
        ("-c", "import optuna, sys; optuna.storages.RDBStorage(sys.argv[1])"),
        "storages/_rdb/alembic/versions/*.py",
        one_by_one=False,
    ),
)


def table(bench: Bench, python: str) -> str:
    """Return how long each of them takes on an empty database and with nothing to do.

    Args:
        bench: Where they run.
        python: The interpreter of an environment with psycopg and any of django, mlflow and optuna.
    """
    (bench.folder / "bench_settings.py").write_text(SETTINGS)
    lines = [_line(bench, python, peer, count) for peer in PEERS if (count := peer.count(python))]
    head = ["whole process, ms", "revisions", "empty database", "per revision", "nothing to do"]
    return "## Other tools\n\n" + report.markdown(head, lines)


def _line(bench: Bench, python: str, peer: Peer, count: int) -> list[str]:
    fresh, again = [], []
    for _ in range(FEWEST_ROUNDS):
        with bench.database() as url:
            fresh.append(peer.run(bench, python, url))
            again.append(peer.run(bench, python, url))
    median = Sample(tuple(fresh)).median
    each = f"{median / count:.0f}" if peer.one_by_one else "all at once"
    return [peer.name, str(count), f"{median:.0f}", each, f"{Sample(tuple(again)).median:.0f}"]
