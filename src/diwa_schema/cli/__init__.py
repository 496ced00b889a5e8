"""The command line: it passes arguments to the API and prints the results; it contains no rules.

Printing follows the work and is separate from it: a full disk or a closed pipe is never reported as a failure of the
run.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # as in typing, whose import would cost more than printing a version
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from diwa_schema.cli.command import Result
    from diwa_schema.errors import DiwaSchemaError

CLOSED_PIPE = 141
_UNPRINTED = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        argv: The words after the program's name; by default those of this process.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    _open_closed_streams()
    if words[:1] == ["--version"]:
        from diwa_schema import __version__

        return _print(f"diwa-schema {__version__}", 0)
    if "_ARGCOMPLETE" in os.environ:  # a shell asks for the possible words at its cursor
        from diwa_schema.cli.completion import answer

        return answer()
    from diwa_schema.errors import NAMED, OFFERS, TYPED

    named, typed, offers = NAMED.set(str), TYPED.set(str), OFFERS.set(None)
    try:
        return _run(words, as_json="--json" in words)
    finally:
        OFFERS.reset(offers)
        TYPED.reset(typed)
        NAMED.reset(named)


def _run(words: list[str], *, as_json: bool) -> int:
    from diwa_schema.errors import NAMED, OFFERS, TYPED, DiwaSchemaError

    args = None
    try:
        from functools import partial

        from diwa_schema.cli import options
        from diwa_schema.cli.parser import build_parser
        from diwa_schema.cli.signals import interruptible
        from diwa_schema.run.interruption import MOMENT

        args = build_parser(words[0] if words else "").typed(words)
        NAMED.set(partial(options.named, args))  # called only if a message offers a command
        TYPED.set(partial(options.typed, words))
        OFFERS.set(partial(hasattr, args))
        MOMENT.set(None)
        with interruptible():
            result: Result = args.run(args)
    except DiwaSchemaError as error:
        return _print_error(error, words, as_json=as_json, args=args)
    except KeyboardInterrupt as interruption:
        from diwa_schema.run.interruption import as_dict

        document = as_dict(interruption, changing=hasattr(args, "repo"))
        return _print_failed(document, words, as_json=as_json, args=args)
    except BrokenPipeError:
        # A command that asks a question has shown its text, and nobody reads it.
        _forget(sys.stdout)
        return CLOSED_PIPE
    except Exception as error:  # noqa: BLE001 - a user must never meet a bare traceback
        return _print_error(_unexpected(error), words, as_json=as_json, args=args)
    return _print_result(args, result, as_json=as_json)


def _print_result(args: argparse.Namespace, result: Result, *, as_json: bool) -> int:
    text = _document(result.document, line=result.line) if as_json else result.text
    if not text:
        return int(result.exit_code)
    if "***" in text and not as_json:
        from diwa_schema.errors import with_hint

        text = with_hint(text)
    if not as_json and not result.verbatim:
        from diwa_schema.terminal import fitted

        text = fitted(text, sys.stdout)
    # A command that asks the guard may have changed something, so stderr reports it even if nobody reads the result.
    return _print(text, int(result.exit_code), done=result.text if hasattr(args, "repo") else "")


def _print_error(
    error: DiwaSchemaError, words: list[str], *, as_json: bool, args: argparse.Namespace | None
) -> int:
    from diwa_schema.cli.masked import masked, masked_document
    from diwa_schema.errors import with_hint

    document, text = masked_document(error.as_dict(), words), with_hint(masked(str(error), words))
    document["next_step"] = with_hint(document["next_step"])
    return _print_failed(document, words, text, as_json=as_json, args=args)


def _print_failed(
    document: dict[str, object],
    words: list[str],
    text: str = "",
    *,
    as_json: bool,
    args: argparse.Namespace | None,
) -> int:
    """Print an error or an interruption, and return its exit code."""
    # A terminal shows ^C in the line of an interruption.
    text = text or "\n{what} {untouched}\n{next_step}".format_map(document)
    code = int(str(document["exit_code"]))
    if as_json:
        # Whoever reads the documents of a fleet reads one per line.
        return _print(_document(document, line=words[:1] == ["fleet"]), code, done=text)
    if _logs_json(args):
        _log_error(document)
    else:
        _say(text)
    return code


def _logs_json(args: argparse.Namespace | None) -> bool:
    return getattr(args, "log_format", "text") == "json"


def _log_error(facts: dict[str, object]) -> None:
    from diwa_schema.cli.lines import print_error

    print_error(facts)


def _print(text: str, code: int, *, done: str = "") -> int:
    """Write a result to stdout, and return the exit code of the command, even if nothing can be written.

    Args:
        text: The result.
        code: The command's exit code.
        done: The text for stderr if stdout fails.
    """
    try:
        try:
            print(text, flush=True)
        except UnicodeEncodeError as error:
            print(text.encode(error.encoding, "backslashreplace").decode(error.encoding), flush=True)
    except (OSError, ValueError) as error:
        _forget(sys.stdout)
        closed = isinstance(error, BrokenPipeError)
        if done or not closed:
            _say(f"The command has ended, and its result could not be printed: {error}.\n{done}".rstrip())
        if closed and not done:
            return CLOSED_PIPE
        # The result of a command that only reads is what it prints.
        return code or (0 if done else _UNPRINTED)
    return code


def _say(text: str) -> None:
    from diwa_schema.terminal import fitted

    try:
        sys.stderr.write(f"{fitted(text, sys.stderr)}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        _forget(sys.stderr)


def _forget(stream: object) -> None:
    """Discard the unwritten rest, or the interpreter reports it once more at its end."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # type: ignore[attr-defined]
    except (OSError, ValueError, AttributeError):
        return  # not a stream of the system


def _open_closed_streams() -> None:
    # Python has no stream at all if the shell has closed it (2>&-).
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115 - open as long as the process


def _document(document: dict[str, object], *, line: bool = False) -> str:
    import json

    return json.dumps(document, indent=None if line else 2, default=str)


def _unexpected(error: Exception) -> DiwaSchemaError:
    from diwa_schema.database.spelling import mask
    from diwa_schema.errors import DiwaSchemaError, command

    return DiwaSchemaError(
        f"This is a bug in diwa-schema: {type(error).__name__}: {mask(str(error))}",
        untouched="The progress of the command is unknown.",
        next_step=f"Run {command('status')} to see the state of the database, and report this message.",
    )
