"""Which of the repositories a checkout is, for commands that have nothing to do where that is not known."""

from __future__ import annotations

from pathlib import Path

from diwa_schema.errors import UsageError
from diwa_schema.guard.evidence import collect
from diwa_schema.guard.role import REPOSITORIES, Evidence, Role, weigh

OWN = "diwa-schema"


def identify(root: Path, repo: str | None = None) -> tuple[Role, str]:
    """Return role and name of a checkout; this package's own name before another owner's.

    Args:
        root: The root of the checkout.
        repo: What it says it is, evidence like any other.

    Raises:
        UsageError: No known repository speaks, or a place that may name one cannot be read.
    """
    evidence = collect(repo, root)
    role = weigh(evidence)
    if role is Role.UNKNOWN:
        raise _unknown(evidence)
    names = {one.name for one in evidence if one.role is role}
    return role, OWN if OWN in names else min(names)


def _unknown(evidence: tuple[Evidence, ...]) -> UsageError:
    unread = [one.source for one in evidence if one.role is Role.UNKNOWN]
    if unread:
        return UsageError(
            "What may name this repository cannot be read.", next_step=f"Mend {'; '.join(unread)}."
        )
    listed = ", ".join(f"{one.name} ({one.source})" for one in evidence) or "nothing"
    return UsageError(
        f"No known repository is recognised here; what speaks: {listed}.",
        next_step=f"Say which it is ({', '.join(REPOSITORIES)}): --repo NAME, DIWA_REPO, or "
        '[tool.diwa-schema] repo = "NAME" in pyproject.toml.',
    )
