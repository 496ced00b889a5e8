"""The checks of this project: `nox` runs those of every change, `nox -s NAME` one of them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from pathlib import Path

import nox

nox.needs_version = ">=2024.10"
nox.options.sessions = ["lint", "types", "build", "tests"]
nox.options.reuse_existing_virtualenvs = True

VERSIONS = ("3.11", "3.12", "3.13", "3.14")
SOURCE = Path("src/diwa_schema")


def installed(version: str) -> bool:
    """Whether that Python can be run; a version manager's shim may stand there without one."""
    found = shutil.which(f"python{version}")
    return (
        found is not None
        and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0
    )


RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"
PYTHONS = [version for version in VERSIONS if version == RUNNING or installed(version)]


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests, or those that the arguments name, on every supported Python that is installed."""
    session.install("-e", ".", "--group", "test")
    session.run("pytest", *(session.posargs or ["-n", "auto"]))


@nox.session
def matrix(session: nox.Session) -> None:
    """Kill a run at every statement, for every revision."""
    session.install("-e", ".", "--group", "test")
    session.run("pytest", "-m", "matrix", *(session.posargs or ["-n", "auto"]))


@nox.session
def live(session: nox.Session) -> None:
    """Measure how long writers and readers wait while each kind of step runs; nothing else may run beside it."""
    session.install("-e", ".", "--group", "test")
    session.run("pytest", "-m", "live", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, formatting, the directions of imports, and what the revisions do to a database in use."""
    session.install("-e", ".", "--group", "lint", "--group", "test")  # the tests bring a server to look at
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("lint-imports")
    session.run("diwa-schema", "lint", "--observe")


@nox.session
def types(session: nox.Session) -> None:
    """Check types, strictly."""
    session.install("-e", ".", "--group", "test", "--group", "types")
    session.run("mypy")


@nox.session
def build(session: nox.Session) -> None:
    """Build wheel and sdist, and use the wheel as somebody who has nothing else."""
    session.install("build")
    folder = Path(session.create_tmp())
    wheel, sdist = built(session, Path(), folder / "dist")
    check_content(session, wheel)
    check_sources(session, sdist)
    use(session, wheel.resolve(), folder.resolve())


@nox.session
def package(session: nox.Session) -> None:
    """Build twice and compare, from the checkout and from its sdist; keep what is published where a folder is named."""
    session.install("build", "twine", "check-wheel-contents")
    session.env.setdefault("SOURCE_DATE_EPOCH", "1700000000")
    folder = Path(session.create_tmp())
    first = built(session, Path(), folder / "first")
    sources = folder / "sources"
    shutil.rmtree(sources, ignore_errors=True)
    with tarfile.open(first[1]) as archive:
        archive.extractall(sources, filter="data")
    (tree,) = sources.iterdir()
    (tree / "PKG-INFO").unlink()  # every build makes it
    for path in tree.rglob("*"):
        os.utime(path)  # another clone has other times
    second = built(session, tree, folder / "second")
    for one, other in zip(first, second, strict=True):
        if one.read_bytes() != other.read_bytes():
            session.error(f"two builds differ: {one} and {other}")
    session.run("twine", "check", "--strict", *map(str, first))
    session.run("check-wheel-contents", str(first[0]))
    for kept in session.posargs:
        Path(kept).mkdir(exist_ok=True)
        for path in first:
            shutil.copy(path, kept)


def built(session: nox.Session, tree: Path, folder: Path) -> tuple[Path, Path]:
    """Build a tree into an empty folder, and return the wheel and the sdist."""
    shutil.rmtree(folder, ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", str(folder.resolve()), str(tree.resolve()), silent=True)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, sdist


@nox.session(python=PYTHONS)
def smoke(session: nox.Session) -> None:
    """Use the wheel on every supported Python that is installed."""
    session.install("build")
    folder = Path(session.create_tmp())
    wheel, _ = built(session, Path(), folder / "dist")
    use(session, wheel.resolve(), folder.resolve())


@nox.session
@nox.parametrize("versions", ["lowest", "newest"])
def dependencies(session: nox.Session, versions: str) -> None:
    """Run tests with the lowest and with the newest versions of what an application gets."""
    session.install("-e", ".", "--group", "test")
    named = declared()
    if versions == "lowest":
        named = [name.replace(">=", "==") for name in named]
    session.install("--upgrade", *named)
    session.run("python", "-m", "pip", "list")
    session.run("pytest", *(session.posargs or ["-n", "auto"]))


def declared() -> list[str]:
    """Return what the package and its extras for applications depend on, with the drivers that the tests know."""
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"]
    drivers = [
        name for name in project["dependency-groups"]["test"] if name.startswith(("aiosqlite", "asyncpg"))
    ]
    return [*project["project"]["dependencies"], *extras["binary"], *extras["async"], *drivers]


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site into build/site: a link that leads nowhere, or a page that no menu has, fails."""
    session.install("-e", ".", "--group", "docs")
    session.run("mkdocs", "build", *session.posargs, env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session
def audit(session: nox.Session) -> None:
    """Look up known weaknesses of what an application gets; it asks a service on the network."""
    session.install("pip-audit")
    folder = Path(session.create_tmp())
    wanted = folder / "requirements.txt"
    wanted.write_text("\n".join(declared()), encoding="utf-8")
    session.run("pip-audit", "--requirement", str(wanted), "--strict")


def check_content(session: nox.Session, wheel: Path) -> None:
    """Fail unless the wheel holds every file of the package, and nothing beside it."""
    expected = {
        str(path.relative_to("src"))
        for path in SOURCE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.name != "printed.json"
    }
    names = set(zipfile.ZipFile(wheel).namelist())
    packed = {name for name in names if ".dist-info/" not in name}
    if packed != expected:
        session.error(f"the wheel lacks {expected - packed} and has {packed - expected}")
    if not any(name.endswith("licenses/LICENSE") for name in names):
        session.error("the wheel lacks the LICENSE")


def check_sources(session: nox.Session, sdist: Path) -> None:
    """Fail unless the sdist holds what building, reading and testing need."""
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    needed = {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "noxfile.py", "tests/conftest.py"}
    if not needed <= names:
        session.error(f"the sdist lacks {needed - names}")


def use(session: nox.Session, wheel: Path, folder: Path) -> None:
    """Install the wheel and both shims into a new environment and run them from an empty folder."""
    environment = folder / "environment"
    shutil.rmtree(environment, ignore_errors=True)
    session.run("python", "-m", "venv", str(environment))
    programs = environment / "bin"
    shims = [str(path.resolve()) for path in Path("examples").glob("diwa-*")]
    pip = [str(programs / "python"), "-m", "pip", "install", "--quiet"]
    session.run(*pip, f"{wheel}[binary]", *shims, external=True)
    with tempfile.TemporaryDirectory() as empty, session.chdir(empty):
        session.run(str(programs / "python"), "-W", "error", "-c", "import diwa_schema.models", external=True)
        for program, arguments, code in (
            ("diwa-schema", "--version", 0),
            ("python", "-m diwa_schema upgrade --embedded diwa.db", 0),
            ("diwa-schema", "status --embedded diwa.db", 0),
            ("diwa-agent-migrate", "--url sqlite:///shared.db", 3),
            ("diwa-cloud-migrate", "--url sqlite:///shared.db", 0),
        ):
            session.run(str(programs / program), *arguments.split(), success_codes=[code], external=True)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure ratios against Alembic and the bare driver, and write RESULTS.md, README and docs/performance.md."""
    session.install(".[async,binary]", "--group", "test")
    session.run("python", "-m", "benchmarks", *session.posargs)
