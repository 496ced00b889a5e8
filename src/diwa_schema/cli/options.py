"""Arguments that several commands share."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diwa_schema.run.settings import Settings


def add_database(parser: argparse.ArgumentParser) -> None:
    """Declare how the database is named."""
    parser.add_argument(
        "--url", metavar="URL", help="the database; by default DIWA_MIGRATION_DATABASE_URL or DATABASE_URL"
    )
    parser.add_argument("--schema", metavar="NAME", help="the schema of the tables (where new tables go)")
    parser.add_argument(
        "--embedded",
        metavar="PATH",
        nargs="?",
        const=True,
        help="the private SQLite database of this installation (default place: $XDG_DATA_HOME/diwa/diwa.db)",
    )


def add_guard(parser: argparse.ArgumentParser) -> None:
    """Declare what the guard is told."""
    parser.add_argument("--repo", metavar="NAME", help="the repository that asks (evidence for the guard)")


def add_confirm(parser: argparse.ArgumentParser) -> None:
    """Declare the confirmation of a loss."""
    parser.add_argument("--confirm", metavar="NAME", help="the database's name, where rows would be lost")


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Declare how patient and careful the run is."""
    group = parser.add_argument_group("patience")
    group.add_argument(
        "--lock-wait",
        type=_not_negative,
        default=60.0,
        metavar="SECONDS",
        help="wait for another run (60; 0 = not at all)",
    )
    group.add_argument(
        "--max-stall",
        type=_positive,
        default=100.0,
        metavar="MS",
        help="the longest the application may be made to wait (100)",
    )
    group.add_argument(
        "--lock-budget",
        type=_positive,
        default=600.0,
        metavar="SECONDS",
        help="keep trying to get a table (600)",
    )
    group.add_argument(
        "--strong-timeout",
        type=_positive,
        default=5.0,
        metavar="SECONDS",
        help="longest statement under a strong lock (5)",
    )
    group.add_argument(
        "--build-timeout",
        type=_positive,
        default=1200.0,
        metavar="SECONDS",
        help="longest index build or validation (1200)",
    )
    group.add_argument(
        "--allow-stall", action="store_true", help="let a revision hold a strong lock for longer"
    )


def settings_of(args: argparse.Namespace) -> Settings:
    """Return the settings that were typed."""
    from diwa_schema.run.settings import Settings

    return Settings(
        lock_wait=args.lock_wait,
        max_stall=args.max_stall,
        lock_budget=args.lock_budget,
        strong_timeout=args.strong_timeout,
        build_timeout=args.build_timeout,
        allow_stall=args.allow_stall,
        replay=getattr(args, "replay", False),
    )


def database_of(args: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of the API that name the database."""
    named = {"database": args.url, "schema": args.schema}
    return {**named, "embedded": args.embedded} if hasattr(args, "embedded") else named


def _positive(text: str) -> float:
    value = float(text)
    if value <= 0:
        raise argparse.ArgumentTypeError("must be more than 0")
    return value


def _not_negative(text: str) -> float:
    value = float(text)
    if value < 0:
        raise argparse.ArgumentTypeError("must not be negative")
    return value
