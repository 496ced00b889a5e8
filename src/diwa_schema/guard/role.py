"""The repositories that share the schema, the role of each, and what one observation of a name says."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

SHOWN_LENGTH = 80


class Role(StrEnum):
    """What a repository may do with the schema."""

    OWNER = "owner"
    CONSUMER = "consumer"
    UNKNOWN = "unknown"


REPOSITORIES = {"diwa-cloud": Role.OWNER, "diwa-agent": Role.CONSUMER, "diwa-schema": Role.OWNER}
RESTRICTIVENESS = (Role.OWNER, Role.UNKNOWN, Role.CONSUMER)


@dataclass(frozen=True, slots=True)
class Evidence:
    """One observation that tells which repository is asking.

    Args:
        name: The repository's name, normalised; empty when the place could not be read.
        source: Where it was read.
        role: What the name means. None for a name that is none of ours, which is neutral;
            `Role.UNKNOWN` for a place that could not be read and might name a consumer.
    """

    name: str
    source: str
    role: Role | None


def weigh(evidence: Iterable[Evidence]) -> Role:
    """Return the most restrictive role that speaks, `Role.UNKNOWN` where none does."""
    return max((one.role for one in evidence if one.role), key=RESTRICTIVENESS.index, default=Role.UNKNOWN)


def name_of(text: str) -> str:
    """Return the normalised repository name in a name, a path or a URL of any form, without credentials."""
    path = re.split(r"[?#]", text.strip(), maxsplit=1)[0]
    segments = [re.sub(r"\.git$", "", part, flags=re.IGNORECASE) for part in re.split(r"[/\\:]", path)]
    last = next((part for part in reversed(segments) if part not in {"", "."}), "")
    plain = re.sub(r"%([0-7][0-9A-Fa-f])", lambda code: chr(int(code[1], 16)), last.rpartition("@")[2])
    shown = "".join(letter if letter.isprintable() else "?" for letter in plain)[:SHOWN_LENGTH]
    return re.sub(r"[-_.\s]+", "-", shown).strip("-").lower()


def observed(text: str, source: str) -> Evidence:
    """Return what a name found at a source says."""
    name = name_of(text)
    if not name:
        return unreadable(f"{source} (empty)")
    return Evidence(name, source, REPOSITORIES.get(name))


def unreadable(source: str) -> Evidence:
    """Return the evidence of a place that could not be read: it might name a consumer, so it never opens."""
    return Evidence("", source, Role.UNKNOWN)
