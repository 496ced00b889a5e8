"""The guard of the schema: evidence, verdict and refusal."""

from __future__ import annotations

from diwa_schema.guard.evidence import REPOSITORIES, Evidence, Role, collect, shown, weigh
from diwa_schema.guard.refusal import OwnDatabase, ask, evidence_lines, judge, refused
from diwa_schema.guard.verdict import EMBEDDED, IN_MEMORY, OWN_DATABASE, Bypass, Operation, Verdict, decide

__all__ = [
    "EMBEDDED",
    "IN_MEMORY",
    "OWN_DATABASE",
    "REPOSITORIES",
    "Bypass",
    "Evidence",
    "Operation",
    "OwnDatabase",
    "Role",
    "Verdict",
    "ask",
    "collect",
    "decide",
    "evidence_lines",
    "judge",
    "refused",
    "shown",
    "weigh",
]
