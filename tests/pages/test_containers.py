"""The manifests of docs/containers.md hold together, and what is in their containers runs as it stands there."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
import yaml
from fastapi.testclient import TestClient

import diwa_schema
from diwa_schema.cli.parser import EXIT_CODES
from diwa_schema.migrations.manifest import load
from diwa_schema.privileges.existing import RoleNames
from diwa_schema.run.settings import Settings
from diwa_schema.testing import embedded
from tests.fixtures_checkout import VARIABLES, run
from tests.fixtures_roles import Site
from tests.pages.reading import ROOT, blocks, read

PAGE = read("containers.md")
(IMAGE,) = blocks(PAGE, "dockerfile")
JOB, DEPLOYMENT, COMPOSE = (yaml.safe_load(block) for block in blocks(PAGE, "yaml"))
(READY,) = blocks(PAGE, "python")
SECRETS, APPLIED, ENDED = blocks(PAGE, "text")

JOB_POD = JOB["spec"]["template"]["spec"]
(UPGRADE,) = JOB_POD["containers"]
APP_POD = DEPLOYMENT["spec"]["template"]["spec"]
(CHECK,), (APP,) = APP_POD["initContainers"], APP_POD["containers"]

# A build of an index that waits as long as another transaction is open.
INDEXED, BEFORE = "usage_records", "20260306000100"

Container = Callable[..., subprocess.CompletedProcess[str]]


def instructions(name: str) -> list[str]:
    return re.findall(rf"^{name} (.*)$", IMAGE, flags=re.MULTILINE)


def surroundings(tmp_path: Path, variables: Mapping[str, str]) -> dict[str, Any]:
    """Return where a container's process runs: an empty folder without a home, and the image's variables."""
    folder = tmp_path / "srv"
    folder.mkdir(exist_ok=True)
    (image,) = instructions("ENV")
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    environment |= {"HOME": "/nonexistent", **dict([image.split("=")]), **variables}
    return {"cwd": folder, "env": environment}


def words(command: list[str]) -> list[str]:
    assert command[0] == "python"
    return [sys.executable, *command[1:]]


ENTRYPOINT = words(json.loads(instructions("ENTRYPOINT")[0]))


@pytest.fixture
def container(tmp_path: Path) -> Container:
    """Run the image with other words than its own, and with the variables of a manifest."""

    def start(args: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
        return run([*ENTRYPOINT, *args], **surroundings(tmp_path, variables))

    return start


class Behind(NamedTuple):
    """A PostgreSQL database with its roles, which waits for the build of an index."""

    superuser: str
    migrator: str
    app: str
    upgrade: list[str]


@pytest.fixture
def behind(migrated: Site) -> Behind:
    diwa_schema.downgrade(migrated.url, BEFORE, repo="diwa-schema")
    # Roles are the server's, so those of a test have names of their own.
    upgrade = [migrated.names.app if one == RoleNames().app else one for one in UPGRADE["args"]]
    assert upgrade != UPGRADE["args"]
    migrator = migrated.login(migrated.names.owner, acts_as=migrated.names.owner)
    return Behind(migrated.url, migrator, migrated.login(migrated.names.app), upgrade)


def test_the_image_installs_what_there_is() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (extra,) = re.findall(r"'diwa-schema\[(\w+)\]'", IMAGE)
    assert extra in project["optional-dependencies"]
    (version,) = re.findall(r"python:(\d\.\d+)", IMAGE)
    assert f"Programming Language :: Python :: {version}" in project["classifiers"]
    assert int(instructions("USER")[0]) > 0


def test_secrets_and_names_are_those_of_the_commands() -> None:
    created = {words[4] for line in SECRETS.splitlines() if (words := line.split())}
    used = {
        one["valueFrom"]["secretKeyRef"]["name"]
        for container in (UPGRADE, CHECK, APP)
        for one in container["env"]
    }
    assert used == created
    assert f"job/{JOB['metadata']['name']}" in APPLIED
    assert (JOB["kind"], DEPLOYMENT["kind"]) == ("Job", "Deployment")
    assert (
        DEPLOYMENT["spec"]["selector"]["matchLabels"] == DEPLOYMENT["spec"]["template"]["metadata"]["labels"]
    )
    assert CHECK["image"] == APP["image"]


def test_the_job_tries_again_only_where_that_may_help() -> None:
    (codes,) = (
        rule["onExitCodes"] for rule in JOB["spec"]["podFailurePolicy"]["rules"] if "onExitCodes" in rule
    )
    assert codes["containerName"] == UPGRADE["name"]
    again = {int(code) for code in re.findall(r"\d", re.findall(r"exit codes ([\d, and]+) may go", PAGE)[0])}
    assert set(codes["values"]) | again == {code for code in EXIT_CODES if 1 < code < 100}
    assert not set(codes["values"]) & again
    assert JOB_POD["restartPolicy"] == "Never"  # else Kubernetes refuses the policy


def test_the_deadline_is_longer_than_everything_that_a_run_may_wait_for() -> None:
    settings, given = Settings(), UPGRADE["args"]
    wait = float(given[given.index("--lock-wait") + 1])
    deadline = JOB["spec"]["activeDeadlineSeconds"]
    assert deadline > wait + settings.lock_budget + settings.build_timeout
    (hours,) = re.findall(r"--timeout=(\d+)h", APPLIED)
    assert int(hours) * 3600 == deadline


def test_the_job_upgrades_and_the_pod_of_the_application_starts_afterwards(
    behind: Behind, container: Container, tmp_path: Path
) -> None:
    (variable,) = (one["name"] for one in UPGRADE["env"])

    def check() -> subprocess.CompletedProcess[str]:
        (named,) = (one["name"] for one in CHECK["env"])
        return run(words([*CHECK["command"], *CHECK["args"]]), **surroundings(tmp_path, {named: behind.app}))

    before = check()
    assert before.returncode == 1
    assert "SchemaOutOfDate" in before.stderr
    assert "python -m diwa_schema upgrade" in before.stderr
    done = container(behind.upgrade, **{variable: behind.migrator})
    assert done.returncode == 0, done.stderr
    assert all(json.loads(line)["level"] for line in done.stderr.splitlines())
    assert check().returncode == 0
    assert container(json.loads(instructions("CMD")[0]), **{variable: behind.migrator}).returncode == 0
    assert list((tmp_path / "srv").iterdir()) == []


def test_the_image_of_a_consumer_is_blocked(container: Container, sqlite: str) -> None:
    done = container(UPGRADE["args"], DIWA_REPO="diwa-agent", DIWA_MIGRATION_DATABASE_URL=sqlite)
    assert done.returncode == 3
    assert "SAFETY BLOCK" in done.stderr


def test_a_pod_that_is_ended_rolls_back_says_so_and_the_next_one_resumes(
    behind: Behind, container: Container, tmp_path: Path
) -> None:
    (variable,) = (one["name"] for one in UPGRADE["env"])
    with (
        psycopg.connect(behind.superuser) as other,
        psycopg.connect(behind.superuser, autocommit=True) as looking,
    ):
        other.execute(f"LOCK {INDEXED} IN ROW EXCLUSIVE MODE")
        pod = subprocess.Popen(
            [*ENTRYPOINT, *behind.upgrade],
            **surroundings(tmp_path, {variable: behind.migrator}),
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        building = "SELECT FROM pg_stat_progress_create_index WHERE datname = current_database()"
        while looking.execute(building).fetchone() is None:
            assert pod.poll() is None, pod.communicate()
        pod.send_signal(signal.SIGTERM)
        printed, said = pod.communicate(timeout=60)
    assert (pod.returncode, printed) == (143, "")
    last = json.loads(said.splitlines()[-1])
    said = f"{last['what']} {last['untouched']}\n{last['next_step']}"
    said = re.sub(r"revision \d+ \(\w+\)", "revision REVISION (SLUG)", said)
    assert (last["exit_code"], said) == (143, ENDED.strip())
    status = container(["status", "--json"], **{variable: behind.migrator})
    assert [one["revision"] for one in json.loads(status.stdout)["unfinished"]] == []
    ledger = container(["history", "--applied", "--json"], **{variable: behind.migrator})
    assert "interrupted" in {one["outcome"] for one in json.loads(ledger.stdout)["entries"]}
    assert container(behind.upgrade, **{variable: behind.migrator}).returncode == 0
    assert diwa_schema.status(behind.superuser).revision == load().head


def test_an_application_is_ready_only_on_its_schema(head_file: Path, tmp_path: Path) -> None:
    for url, code, said in (
        (f"sqlite+aiosqlite:///{head_file}", 200, "current"),
        (f"sqlite+aiosqlite:///{tmp_path / 'empty.db'}", 503, "SchemaEmpty"),
    ):
        names: dict[str, Any] = {"url": url, "__name__": "page"}
        exec(compile(READY, "containers.md", "exec"), names)
        with TestClient(names["app"]) as client:
            answer = client.get(APP["readinessProbe"]["httpGet"]["path"])
        assert (answer.status_code, answer.json()) == (code, {"schema": said})
    assert APP["readinessProbe"]["httpGet"]["port"] in {one["containerPort"] for one in APP["ports"]}


def test_compose_starts_the_application_after_the_upgrade(behind: Behind, container: Container) -> None:
    services = COMPOSE["services"]
    upgrade, app = services["upgrade"], services["app"]
    assert upgrade["depends_on"] == {"db": {"condition": "service_healthy"}}
    assert app["depends_on"] == {"upgrade": {"condition": "service_completed_successfully"}}
    assert set(COMPOSE["volumes"]) == {one.partition(":")[0] for one in services["db"]["volumes"]}
    (variable,) = upgrade["environment"]
    assert upgrade["environment"][variable] == app["environment"]["DATABASE_URL"]
    assert container(upgrade["command"], **{variable: behind.migrator}).returncode == 0
    named = re.findall(r"docker compose run --rm upgrade ([^`]+)`", PAGE)
    assert [container(shlex.split(one), **{variable: behind.migrator}).returncode for one in named] == [0]


def test_the_health_of_the_database_is_asked_with_options_that_there_are() -> None:
    kind, program, *options = COMPOSE["services"]["db"]["healthcheck"]["test"]
    assert kind == "CMD"
    path = embedded.programs() / program
    if not path.exists():
        pytest.skip("the server of these tests comes without pg_isready")
    # Nobody answers at that port; 3 would be an option that is not known.
    assert run([str(path), *options, "--port", "1"]).returncode == 2
