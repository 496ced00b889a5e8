"""A parsed database URL: writing, reading and displaying its parts without a password."""

from __future__ import annotations

import os
import re
from typing import Any, Literal, NamedTuple
from urllib.parse import quote, unquote

from diwa_schema.errors import InvalidDatabase, option

Dialect = Literal["postgresql", "sqlite"]

FORM = "Write postgresql://USER@HOST/NAME or sqlite:///PATH."
BLANKS = " \t\r\n"
_SHORT = 4  # a shorter password is only found as a whole word


class DatabaseURL(NamedTuple):
    """A parsed database URL.

    Args:
        dialect: The kind of database.
        driver: The database in one spelling: a libpq URI, or the name for SQLite (":memory:" for no file).
        shown: The URL for people, without its password.
        parameters: The arguments of the driver's connect function: libpq's keywords, or options of sqlite3.
        file: The SQLite file, absolute, with links followed; None if there is none.
        uri: Whether SQLite should read `driver` as a ``file:`` URI.
        anywhere: The URL for a printed command, if `shown` has a relative path; empty otherwise.
    """

    dialect: Dialect
    driver: str
    shown: str
    parameters: tuple[tuple[str, Any], ...] = ()
    file: str | None = None
    uri: bool = False
    anywhere: str = ""

    @property
    def in_memory(self) -> bool:
        """Whether this is SQLite without a file, which nobody else can see."""
        return self.dialect == "sqlite" and self.file is None

    @property
    def offered(self) -> str:
        """The URL for a printed command, without the password: it names the same file in every directory."""
        return self.anywhere or self.shown

    def options(self, schema: str | None = None) -> str:
        """Return the options of a command that name this database, and a schema in it, without the password.

        Every printed command gets them here. The name of a database for messages is no URL: `placed` adds the schema.
        """
        return " ".join(
            [option("--url", self.offered), *([] if schema is None else [option("--schema", schema)])]
        )


def spelled(text: str, reserved: str) -> str:
    """Return a text as a part of a URL: reserved and unprintable characters are percent-encoded, others stay."""
    return "".join(
        letter
        if letter.isprintable() and letter not in reserved
        else quote(letter, safe="", errors="surrogateescape")
        for letter in text
    )


def decoded(text: str, shown: str) -> str:
    """Return a part of a PostgreSQL URL without its percent signs, as libpq reads it.

    Raises:
        InvalidDatabase: A percent sign stands alone, or the result is not a text.
    """
    if re.search("%(?![0-9A-Fa-f]{2})", text):
        raise InvalidDatabase(
            f"A percent sign in the URL '{shown}' is not followed by two hexadecimal digits.",
            next_step="Write %25 for a percent sign.",
        )
    try:
        found = unquote(text, errors="strict")
        found.encode()
    except UnicodeError:
        raise InvalidDatabase(
            f"The URL '{shown}' is not UTF-8.",
            next_step="Write its special characters in UTF-8, percent-encoded.",
        ) from None
    if "\0" in found:
        raise InvalidDatabase(f"The URL '{shown}' holds a zero byte.", next_step=FORM)
    return found


def shown_unread(text: str) -> str:
    """Return the displayable part of an unreadable URL: its scheme."""
    scheme, separator, _ = text.lstrip(BLANKS).partition("://")
    return f"{scheme}://..." if separator and re.fullmatch(r"[A-Za-z][\w+.-]*", scheme, re.ASCII) else "..."


_passwords: set[str] = set()


def placed(shown: str, schema: str | None) -> str:
    """Return the name of a database for messages: its displayed URL, and the schema if one was named."""
    if schema is None:
        return shown
    return f"{shown} (schema {schema if re.fullmatch('[a-z_][a-z0-9_$]*', schema) else repr(schema)})"


def remember(password: str) -> None:
    """Remember a given password, so that `mask` finds it in messages of a driver or a server."""
    if password:
        _passwords.add(password)


def mask(text: str) -> str:
    """Return a message of a driver or a server without the passwords of this process.

    It is for foreign texts. A URL is displayed by its `DatabaseURL.shown`, which contains no password.
    """
    for password in sorted({*_passwords, os.environ.get("PGPASSWORD", "")} - {""}, key=len, reverse=True):
        for form in {password, quote(password, safe=""), password.replace("\\", "\\\\").replace("'", "\\'")}:
            edge = r"\b" if len(form) < _SHORT else ""
            text = re.sub(f"{edge}{re.escape(form)}{edge}", "***", text)
    return mask_parameters(text)


def mask_parameters(text: str) -> str:
    """Return a text without the values of parameters that are called a password."""
    return re.sub(r"(?i)(password\s*=\s*)('[^']*'|[^\s&]*)", r"\1***", text)
