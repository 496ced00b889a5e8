"""The release of this package in `application_name`, and the order of releases.

A change that breaks old code must know whether old code is still running. Each connection therefore states the release
of its code in its `application_name`, which everybody can read.
"""

from __future__ import annotations

import re
from datetime import timedelta

# The execution option of a statement before which an engine's connection does not state its release.
UNNAMED = "diwa_schema_unnamed"

# How long the note of a release's start is kept. Containers get a new host name at each start, so old notes must be
# removed.
NOTES_KEPT = timedelta(days=90)

_LONGEST = 63  # bytes of an application_name, NAMEDATALEN - 1
_SAID = r"(?:^| )diwa/(\S+)(?= |\Z)"
_VERSION = r"(\d+(?:\.\d+)*)(?:(a|b|rc)(\d+))?(?:\.post(\d+))?(?:\.dev(\d+))?(?:\+[a-z0-9.]+)?"
_STAGES = {"a": 0, "b": 1, "rc": 2}
_FINAL = 3

Order = tuple[tuple[int, ...], tuple[int, int], int, float]


def application_name(own: str | None = None) -> str:
    """Return a value for PostgreSQL's `application_name` that states the release of this package: "diwa/0.4.1".

    Engines that execute statements with the models, or that were passed to `ensure_current`, set it themselves. This
    function is for all other connections of an application::

        psycopg.connect(url, application_name=diwa_schema.application_name("tell"))

    Args:
        own: The application's own name, which comes first. It is cut if both together exceed the 63 bytes that
            PostgreSQL keeps. A name that already states this release is returned unchanged.
    """
    from diwa_schema import __version__

    ours = f"diwa/{__version__}"
    own = (own or "").strip()
    if said(own) == __version__ and _width(own) <= _LONGEST:
        return own
    while own and _width(own) + 1 + len(ours) > _LONGEST:
        own = own[:-1].rstrip()
    return f"{own} {ours}" if own else ours


def said(name: str) -> str | None:
    """Return the release that an application_name states; None if it states none."""
    told = [release for release in re.findall(_SAID, name) if order(release) is not None]
    return told[-1] if told else None


def order(release: str) -> Order | None:
    """Return the sort key of a release, in the order of PEP 440; None if the text is not a release."""
    found = re.fullmatch(_VERSION, release, re.ASCII)
    if found is None:
        return None
    numbers = [int(one) for one in found[1].split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    stage, post, dev = found[2], found[4], found[5]
    pre = (_STAGES[stage], int(found[3])) if stage else (_FINAL, 0)
    if dev and not (stage or post):
        pre = (-1, 0)  # 1.0.dev1 comes before 1.0a1
    return tuple(numbers), pre, int(post) if post else -1, int(dev) if dev else float("inf")


def _width(name: str) -> int:
    """Return the bytes that a name takes on the server, which escapes each byte outside printable ASCII."""
    return sum(1 if " " <= one <= "~" else 4 * len(one.encode()) for one in name)
