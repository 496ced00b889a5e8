"""Checks of an SQLite file's integrity and of the settings of the application's connections."""

from __future__ import annotations

import shlex
import sqlite3
from collections.abc import Iterator

from diwa_schema.health.finding import Finding, Patient, Severity

_SHOWN = 3
_UNSAFE_JOURNALS = ("off", "memory")


def _shell(patient: Patient, words: str) -> str:
    """Return the command that sends a statement to the file with SQLite's own program."""
    return shlex.join(
        ("sqlite3", patient.link.value("SELECT file FROM pragma_database_list") or "FILE", words)
    )


def quick_check(patient: Patient) -> Iterator[Finding]:
    """Report a damaged file."""
    try:
        wrong = [str(row[0]) for row in patient.link.rows("PRAGMA quick_check(10)") if row[0] != "ok"]
    except sqlite3.DatabaseError as error:
        wrong = [str(error)]
    if wrong:
        reason = f"The file is damaged: {'; '.join(wrong[:_SHOWN])}"
        yield Finding(
            "file-damaged", Severity.ERROR, reason, f"Restore a backup, or: {_shell(patient, '.recover')}"
        )


def foreign_keys(patient: Patient) -> Iterator[Finding]:
    """Report connections that do not enforce foreign keys, and rows that are already orphans."""
    orphans = patient.link.rows(
        'SELECT "table", count(*) FROM pragma_foreign_key_check GROUP BY 1 ORDER BY 1'
    )
    if orphans:
        listed = ", ".join(f"{count} of {table}" for table, count in orphans)
        reason = f"Rows refer to missing rows: {listed}."
        yield Finding(
            "foreign-keys-broken", Severity.ERROR, reason, _shell(patient, "PRAGMA foreign_key_check")
        )
    # A URL reveals nothing about the application's connections; an Engine opens them.
    made_by_engine = patient.target.engine is not None and not patient.target.in_memory
    if made_by_engine and not patient.link.value("PRAGMA foreign_keys"):
        reason = "The engine's connections do not enforce foreign keys: a deleted row leaves rows that refer to it."
        fix = "diwa_schema.models.enforce_foreign_keys(engine)"
        yield Finding("foreign-keys-off", Severity.WARNING, reason, fix)


def journal(patient: Patient) -> Iterator[Finding]:
    """Report a journal mode in which a crash could damage the file, or a writer blocks every reader."""
    file, mode = patient.link.rows(
        "SELECT file, journal_mode FROM pragma_database_list, pragma_journal_mode"
    )[0]
    if not file or mode == "wal":
        return
    use_wal = _shell(patient, "PRAGMA journal_mode = WAL")
    if mode in _UNSAFE_JOURNALS:
        reason = f"The journal mode is {mode}: a crash while writing damages the file."
        yield Finding("journal-unsafe", Severity.WARNING, reason, use_wal)
    else:
        reason = f"The journal mode is {mode}: a writer keeps all readers waiting."
        yield Finding("journal-blocks", Severity.NOTE, reason, use_wal)


def writable(patient: Patient) -> Iterator[Finding]:
    """Test whether rows could be written, in a transaction that is rolled back."""
    try:
        patient.link.execute("BEGIN IMMEDIATE")
        # A read-only file lets a writer begin a transaction, and refuses the write.
        patient.link.execute(f"PRAGMA user_version = {patient.link.value('PRAGMA user_version')}")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorname.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            reason = "Another process kept the file locked for as long as this check waited."
            yield Finding("file-busy", Severity.WARNING, reason, "End the other process' transaction")
        else:
            reason = f"Nothing can be written to the file: {error}"
            yield Finding(
                "file-not-writable", Severity.ERROR, reason, "Make the file and its folder writable"
            )
    finally:
        patient.link.abandon()
