"""The command `export`: print the schema at head in another format, or write it to a folder."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from diwa_schema.cli.command import Commands, Result, add
from diwa_schema.errors import UsageError

_NAMESPACE = re.compile(r"[A-Z][A-Za-z0-9_]*(\.[A-Z][A-Za-z0-9_]*)*", re.ASCII)


def register(commands: Commands) -> None:
    """Add `export` to the parser."""
    from diwa_schema.export import FORMATS

    parser = add(
        commands,
        "export",
        run,
        help="write the schema as a dictionary, a diagram or types",
        description="Write the schema at head in another language. No database is needed.",
    )
    parser.add_argument("format", choices=FORMATS, metavar="FORMAT", help=", ".join(FORMATS))
    parser.add_argument(
        "--output", metavar="DIR", type=_folder, help="write the files into DIR (default: print them)"
    )
    parser.add_argument(
        "--embedding",
        choices=("vector", "binary"),
        help="ecto: the type of the embedding columns in your database (vector)",
    )
    parser.add_argument(
        "--namespace", metavar="NAME", help="ecto: the first part of the module names (DiwaSchema)"
    )


def _folder(text: str) -> Path:
    """Return a folder; an empty text, as of a variable without a value, would be the working directory."""
    if not text.strip():
        raise argparse.ArgumentTypeError("expected the name of a folder")
    return Path(text)


def run(args: argparse.Namespace) -> Result:
    """Print the files of a format, or write them into a folder; files of the same names are replaced."""
    from diwa_schema.export import export

    files = export(args.format, **_options(args))
    document = {"format": args.format, "files": files, "output": str(args.output) if args.output else None}
    if args.output is None:
        return Result(document, "\n".join(files.values()).rstrip("\n"), verbatim=True)
    for name, text in files.items():
        _write(args.output / name, text)
    return Result(document, "\n".join(f"Written: {args.output / name}" for name in files))


def _options(args: argparse.Namespace) -> dict[str, str]:
    given = {"embedding": args.embedding, "namespace": args.namespace}
    options = {name: value for name, value in given.items() if value is not None}
    if options and args.format != "ecto":
        raise UsageError(
            f"--{next(iter(options))} is an option of the format ecto.",
            next_step=f"Run: diwa-schema export {args.format}",
        )
    if not _NAMESPACE.fullmatch(options.get("namespace", "DiwaSchema")):
        raise UsageError(
            f"'{args.namespace}' is not the name of a module in Elixir.",
            next_step="Run: diwa-schema export ecto --namespace MyApp.Schema",
        )
    return options


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}.",
            untouched="The files before it are complete.",
            next_step="Choose another folder with --output.",
        ) from error
