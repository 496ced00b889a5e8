"""What the doctor finds, by code."""

from __future__ import annotations

import diwa_schema


def found(database: object, **options: object) -> dict[str, diwa_schema.Finding]:
    return {one.code: one for one in diwa_schema.doctor(database, **options)}  # type: ignore[arg-type]


def to_fix(database: object, **options: object) -> set[str]:
    return {code for code, one in found(database, **options).items() if one.severity != "note"}
