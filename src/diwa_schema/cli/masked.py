"""Messages without the passwords of the typed words.

A URL may stand where none belongs: as a word too many, as the value of another option, or as a revision. A message that
repeats the word must not print its password. The typed words are known, so each message is searched for them, however
it came to repeat one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from diwa_schema.database.spelling import mask_parameters
from diwa_schema.errors import DiwaSchemaError

_UNREAD = "..."


def masked(text: str, words: Iterable[str]) -> str:
    """Return a message without the passwords of the typed words.

    Passwords of the process are not searched for: a short one would also be found in the words of the message.
    """
    parts = sorted({part for word in words for part in _parts(word)}, key=lambda part: -len(part[0]))
    for secret, shown in parts:
        for form in _forms(secret):
            text = text.replace(form, shown)
    return mask_parameters(text)


def masked_document(document: Any, words: Iterable[str]) -> Any:
    """Return a document in which `masked` has read every text."""
    if isinstance(document, str):
        return masked(document, words)
    if isinstance(document, dict):
        return {key: masked_document(value, words) for key, value in document.items()}
    if isinstance(document, list | tuple):
        return [masked_document(value, words) for value in document]
    return document


def shown_word(word: str) -> str:
    """Return a typed word for display in a command."""
    for secret, shown in _parts(word):
        word = word.replace(secret, shown)
    return mask_parameters(word)


def _parts(word: str) -> Iterator[tuple[str, str]]:
    """Yield the parts of a word that may contain a password, each with its form for display."""
    front, separator, rest = word.partition("://")
    if separator:
        shown = _shown_rest(re.findall(r"[A-Za-z][A-Za-z0-9+.-]*$|$", front)[0], rest)
        if rest and shown != rest:
            yield f"{separator}{rest}", f"{separator}{shown}"
            # The program may have split the word at its first letter or at a sign.
            word = rest
        else:
            return
    # The scheme was forgotten, or a blank split the URL into several words.
    login, at, _ = word.rpartition("@")
    if at and login:
        yield f"{login}{at}", f"{_UNREAD}{at}"


def _shown_rest(scheme: str, rest: str) -> str:
    from diwa_schema.database.url import parse

    try:
        return parse(f"{scheme}://{rest}").shown.partition("://")[2]
    except DiwaSchemaError:
        return _UNREAD


def _forms(secret: str) -> Iterator[str]:
    """Yield the spellings of a text: as it is, in a literal of Python, and in a command for a shell."""
    quoted = repr(secret)[1:-1]
    yield from dict.fromkeys(
        (
            secret,
            quoted,
            quoted.replace("'", "\\'"),
            quoted.replace("\\'", "'"),
            secret.replace("'", "'\"'\"'"),
        )
    )
