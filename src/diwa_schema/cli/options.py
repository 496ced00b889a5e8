"""Arguments that several commands share."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from diwa_schema.errors import DiwaSchemaError, option

if TYPE_CHECKING:
    from datetime import timedelta

    from diwa_schema.run.settings import Settings

_LONG_UNIT = {"s": "SECONDS", "ms": "MS"}


def add_database(parser: argparse.ArgumentParser, *, embedded: bool = True) -> None:
    """Add the options that name the database; `embedded` allows the private one of an installation."""
    parser.add_argument(
        "--url", metavar="URL", help="the database (default: DIWA_MIGRATION_DATABASE_URL, then DATABASE_URL)"
    )
    parser.add_argument("--schema", metavar="NAME", help="the schema that holds the tables")
    if embedded:
        parser.add_argument(
            "--embedded",
            metavar="PATH",
            nargs="?",
            const=True,
            type=_path,
            help="the private SQLite database of this installation (default path: $XDG_DATA_HOME/diwa/diwa.db)",
        )


def add_guard(parser: argparse.ArgumentParser) -> None:
    """Add the option for the guard's evidence."""
    parser.add_argument(
        "--repo", metavar="NAME", help="the name of the calling repository, as evidence for the guard"
    )


def add_renew(parser: argparse.ArgumentParser) -> None:
    """Add the option for the role whose connections are renewed after the run."""
    parser.add_argument(
        "--renew", metavar="ROLE", help="end the idle sessions of ROLE after the run, so that they reconnect"
    )


def add_confirm(parser: argparse.ArgumentParser) -> None:
    """Add the confirmation of a loss."""
    parser.add_argument(
        "--confirm",
        metavar="NAME",
        help="accept the loss of rows: the name of the database, or of the schema if --schema names one",
    )


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add the timeouts and safety limits of the run."""
    from diwa_schema.run.settings import bounds

    parser.add_argument(
        "--log-format",
        choices=("text", "json"),
        default="text",
        help="format of progress, warnings and errors on stderr (text)",
    )
    group = parser.add_argument_group("patience")
    for bound in bounds():
        group.add_argument(
            f"--{bound.name.replace('_', '-')}",
            type=_checked(bound.checked),
            default=bound.default,
            metavar=_LONG_UNIT[bound.unit],
            help=f"{bound.help} ({bound.default:g})",
        )
    group.add_argument(
        "--allow-stall", action="store_true", help="allow a revision to hold a strong lock for longer"
    )


def add_seen(parser: argparse.ArgumentParser) -> None:
    """Add the option for the age of a release's start that a contract respects."""
    parser.add_argument(
        "--seen-within",
        type=_duration,
        metavar="DURATION",
        help=(
            "refuse a contract if it breaks a release that started within DURATION (7d; 0 considers"
            " connections only)"
        ),
    )


def settings_of(args: argparse.Namespace) -> Settings:
    """Return the settings of the typed options."""
    from diwa_schema.run.settings import Settings, bounds

    seen = getattr(args, "seen_within", None)
    return Settings(
        **{bound.name: getattr(args, bound.name) for bound in bounds()},
        allow_stall=args.allow_stall,
        replay=getattr(args, "replay", False),
        **({} if seen is None else {"seen_within": seen}),
    )


def database_of(args: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of the API that name the database."""
    named = {"database": args.url, "schema": args.schema}
    return {**named, "embedded": args.embedded} if hasattr(args, "embedded") else named


def named(args: argparse.Namespace) -> str:
    """Return the options that name the database for another command, without the password."""
    from diwa_schema.database.named import embedded_option

    url, schema = getattr(args, "url", None), getattr(args, "schema", None)
    words = []
    if (embedded := getattr(args, "embedded", None)) is not None:
        words.append(embedded_option(embedded))
    if url is not None:
        words.append(_options(url, schema))
    elif schema is not None:
        words.append(option("--schema", schema))
    return " ".join(words)


def _options(url: str, schema: str | None) -> str:
    from diwa_schema.database.url import parse

    try:
        return parse(url).options(schema)
    except DiwaSchemaError:
        # The command refuses it in a moment, and asks for another one.
        return " ".join(["--url URL", *([] if schema is None else [option("--schema", schema)])])


def typed(words: Sequence[str]) -> str:
    """Return the command for another run in a shell, without passwords and without the name of the repository."""
    import shlex

    from diwa_schema.cli import masked

    kept, rest = ["diwa-schema"], list(words)
    while rest:
        word = rest.pop(0)
        if word == "--repo":
            del rest[:1]
        elif not word.startswith("--repo="):
            flag, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
            if "--embedded" in (flag, kept[-1]) and value and not value.startswith("-"):
                value = _absolute(value)
            elif "://" in value:
                value = _shown(value)
            elif re.search(":.*@", value, re.DOTALL):
                value = masked.shown_word(value)
            kept.append(flag + equals + value)
    return shlex.join(kept)


def _absolute(path: str) -> str:
    from diwa_schema.database.url import absolute

    try:
        return str(absolute(path))
    except DiwaSchemaError:
        return path  # the command refuses it in a moment


def _shown(url: str) -> str:
    from diwa_schema.database.url import parse

    try:
        return parse(url).offered
    except DiwaSchemaError:
        return "URL"  # the command refuses it in a moment, and asks for another one


def _path(text: str) -> str:
    # `upgrade --embedded head` would create a file of that name.
    if re.fullmatch(r"head|heads|base|[+-]?\d+", text, re.ASCII):
        raise argparse.ArgumentTypeError(
            f"'{text}' is a revision; write it before --embedded, or ./{text} for a file of that name"
        )
    return text


def _duration(text: str) -> timedelta:
    from diwa_schema.run.settings import Settings, duration

    try:
        return Settings(seen_within=duration(text)).seen_within
    except DiwaSchemaError as error:
        raise argparse.ArgumentTypeError(error.what) from error


def _checked(check: Callable[[object], float]) -> Callable[[str], float]:
    def number(text: str) -> float:
        try:
            return check(text)
        except DiwaSchemaError as error:
            raise argparse.ArgumentTypeError(error.what) from error

    return number
