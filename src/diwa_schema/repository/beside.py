"""The check, by its text, that a migration does not touch the shared schema: applications may have own tables.

Only a completely understood text passes. A list of forbidden texts could be evaded: a name can be assembled at run
time, spelled with escapes, or appear in SQL that runs SQL. The check therefore uses a list of permitted elements. Every
call, word and character must belong to a statement that creates or changes tables with literal names, and no name may
belong to this package.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache

from diwa_schema.migrations import manifest
from diwa_schema.migrations.ecto import LIST, is_ours

_PACKAGES_OWN = "diwa_schema"
_WORD = re.compile(r"\w+")

# A text that becomes SQL can neither begin a second statement, nor assemble text, nor call another function.
_SIGNS_OF_MORE = re.compile(r"[;$|\\#]|--|/\*")
_FUNCTIONS = re.compile(
    r"now|clock_timestamp|gen_random_uuid|lower|upper|length|char_length|coalesce|in|and|or|not"
)
_CALLED = re.compile(r"(\w+|\")\s*\(")

# A comment sign in a text does not count, nor does a quote in a comment: the first of both counts.
_ELIXIR_TEXT = re.compile(r'"""(?P<long>.*?)"""|"(?P<text>[^"\n]*)"|(?P<comment>#[^\n]*)', re.DOTALL)
_NUMBER = re.compile(r"\b\d+\.\d+\b")
_ELIXIR_HEAD = re.compile(r"\s*defmodule [A-Z][\w.]* do\s+use Ecto\.Migration\b")
_ELIXIR_SIGNS = re.compile(r"[\w\s()\[\]{}:,@=-]*")
_ELIXIR_NAME = re.compile(r"(?<![:\w])[A-Za-z_]\w*\b(?!:)")
_ELIXIR_KNOWN = re.compile(
    r"def|change|up|down|do|end|create|create_if_not_exists|drop|drop_if_exists|alter|table|index|unique_index"
    r"|constraint|add|add_if_not_exists|remove|remove_if_exists|modify|rename|timestamps|references|fragment"
    r"|true|false|nil|disable_ddl_transaction|disable_migration_lock|moduledoc"
)

_ALEMBIC = re.compile(
    r"(create|drop|rename)_table|(add|drop|alter)_column|(create|drop)_index|drop_constraint|f"
    r"|create_(unique_constraint|foreign_key|primary_key|check_constraint)|(create|drop)_table_comment"
)
_ALEMBIC_NAMES = ("revision", "down_revision", "branch_labels", "depends_on")
_IMPORTS = {
    "op": "from alembic import op",
    "sa": "import sqlalchemy as sa",
    "postgresql": "from sqlalchemy.dialects import postgresql",
    "sqlite": "from sqlalchemy.dialects import sqlite",
}
_ANNOTATION = re.compile(r"(str|Union|Sequence|Optional|None|[\[\], |])+")
_FUNCTION = re.compile(r"def (upgrade|downgrade)\(\)( -> None)?:")
_TYPING = re.compile(r"from (typing|collections\.abc|__future__) import [\w, ]+")


class _NotUnderstoodError(ValueError):
    """A part of a migration may touch the shared schema."""


def objection(path: str, content: bytes | None) -> str | None:
    """Return the reason why a migration may touch the shared schema; None if it does not.

    Args:
        path: The file.
        content: Its content; None if it is not a file.
    """
    try:
        texts = list(_texts(path, content))
    except _NotUnderstoodError as error:
        return str(error)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return "it is not readable, or not pure ASCII"
    ours = sorted(word for one in texts for word in _WORD.findall(one.lower()) if _is_ours(word))
    return f"it names '{ours[0]}', which belongs to the shared schema" if ours else None


def _texts(path: str, content: bytes | None) -> Iterator[str]:
    """Yield every text of a migration that could name an object."""
    if (version := re.match(r"\d{14}", path.rpartition("/")[2])) and is_ours((int(version[0]),)):
        raise _NotUnderstoodError(f"its version {version[0]} is one of the shared history")
    read = {"exs": _elixir, "py": _python}.get(path.rpartition(".")[2])
    if content is None or read is None:
        raise _NotUnderstoodError("only migrations of Ecto and of Alembic are read")
    text = content.decode("ascii").replace("\r\n", "\n")
    if "\r" in text:
        raise _NotUnderstoodError("a line of it has an unusual ending")
    yield from read(text)


def _is_ours(word: str) -> bool:
    return word in _names() or word == LIST or word.startswith(_PACKAGES_OWN)


@cache
def _names() -> frozenset[str]:
    """Return the names of the shared tables, and of their indexes, constraints and triggers."""
    catalog = manifest.document(manifest.DIRECTORY / "catalog_postgresql.json")
    found = set(manifest.load().tables) | set(manifest.load().leftovers)
    for table in catalog["tables"]:
        parts = [value for key, value in table.items() if key != "columns"]
        found |= {name.lower() for part in parts for name in _named(part)}
    return frozenset(found)


def _named(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("name"), str):
            yield part["name"]
    elif isinstance(part, list):
        for one in part:
            yield from _named(one)


def _sql(text: str) -> str:
    """Return a text that may become part of a statement, if it is harmless."""
    if more := _SIGNS_OF_MORE.search(text):
        raise _NotUnderstoodError(f"a text in it holds '{more[0]}', which could begin another statement")
    for called in _CALLED.findall(text.lower()):
        if not _FUNCTIONS.fullmatch(called):
            raise _NotUnderstoodError(f"a text in it calls '{called}'")
    return text


def _elixir(text: str) -> Iterator[str]:
    """Yield the texts of an Ecto migration with only permitted elements, and the code around them."""
    for one in _ELIXIR_TEXT.finditer(text):
        if one["comment"] is None:
            yield _sql(one["long"] or one["text"] or "")
    bare = _NUMBER.sub("0", _ELIXIR_TEXT.sub(" nil ", text))
    head = _ELIXIR_HEAD.match(bare)
    if head is None:
        raise _NotUnderstoodError("it does not begin like a migration of Ecto")
    rest = bare[head.end() :]
    if not _ELIXIR_SIGNS.fullmatch(rest):
        raise _NotUnderstoodError("it does more than create tables")
    for name in _ELIXIR_NAME.findall(rest):
        if not _ELIXIR_KNOWN.fullmatch(name):
            raise _NotUnderstoodError(f"it holds '{name}'")
    yield rest


def _python(text: str) -> Iterator[str]:
    """Yield the texts of an Alembic migration with only permitted elements."""
    # As bytes, because a comment may declare another encoding, which Python would use.
    for statement in ast.parse(text.encode()).body:
        match statement:
            case ast.Expr(value=ast.Constant(value=str())):
                continue
            case ast.Import() | ast.ImportFrom():
                said = ast.unparse(statement)
                if said not in _IMPORTS.values() and not _TYPING.fullmatch(said):
                    raise _NotUnderstoodError(f"it holds '{said}'")
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if name in _ALEMBIC_NAMES:
                yield from _values(value)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value) if (
                name in _ALEMBIC_NAMES and _ANNOTATION.fullmatch(ast.unparse(statement.annotation))
            ):
                yield from _values(value)
            case ast.FunctionDef(name="upgrade" | "downgrade", decorator_list=[]) if _FUNCTION.match(
                ast.unparse(statement)
            ):
                for line in statement.body:
                    yield from _line(line)
            case _:
                raise _NotUnderstoodError(f"line {statement.lineno} does more than create tables")


def _line(line: ast.stmt) -> Iterator[str]:
    match line:
        case ast.Pass() | ast.Expr(value=ast.Constant(value=str())):
            return
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id="op"), attr=attr)) as call) if (
            _ALEMBIC.fullmatch(attr)
        ):
            yield from _values(call)
        case _:
            raise _NotUnderstoodError(f"line {line.lineno} does more than create tables")


def _values(value: ast.AST) -> Iterator[str]:
    match value:
        case ast.Constant(value=str() as text):
            yield _sql(text)
        case ast.Attribute():
            _known_attribute(ast.unparse(value))
        case ast.Constant(value=bytes()):
            raise _NotUnderstoodError("it holds bytes")
        case (
            ast.Call()
            | ast.Constant()
            | ast.List()
            | ast.Tuple()
            | ast.Dict()
            | ast.keyword()
            | ast.UnaryOp()
        ):
            if isinstance(value, ast.keyword):
                yield value.arg or ""
            for part in ast.iter_child_nodes(value):
                yield from _values(part)
        case ast.Load() | ast.USub():
            return
        case _:
            raise _NotUnderstoodError(f"it holds '{ast.unparse(value)[:40]}'")


def _known_attribute(said: str) -> None:
    """Refuse an attribute that is not a type, constraint, column or plain piece of SQL."""
    root, _, rest = said.partition(".")
    plain = rest in ("text", "true", "false", "null", "func.now") or re.fullmatch(r"[A-Z]\w*", rest)
    if not (root == "op" and _ALEMBIC.fullmatch(rest)) and not (root in _IMPORTS and root != "op" and plain):
        raise _NotUnderstoodError(f"it holds '{said[:40]}'")
