"""The words that the applications write into some text columns.

A row may hold other words: the database enforces the lists for few columns (`rules.py`), and only if no older row
breaks the rule. Columns whose lists contradict each other upstream are plain text, and their declarations say so.
"""

from __future__ import annotations

from typing import Literal

TaskStatus = Literal["pending", "completed"]
TaskPriority = Literal["High", "Medium", "Low"]
"""Capitalised, other than `MemoryPriority`."""

PlanStatus = Literal["Planning", "Implementation", "Testing", "Complete"]
EscalationStatus = Literal["pending", "resolved", "rejected"]
ConflictOutcome = Literal["accepted", "rejected", "escalated"]

MemoryOperation = Literal["create", "update", "delete", "restore", "rollback"]
MemoryClass = Literal[
    "requirement",
    "design_decision",
    "architectural_pattern",
    "lesson_learned",
    "blocker",
    "handoff",
    "implementation_plan",
    "test_spec",
    "user_rule",
    "system_instruction",
    "progress_update",
    "technical_debt",
    "todo",
    "milestone",
    "constraint",
    "observation",
]
MemoryPriority = Literal["critical", "high", "medium", "low"]
"""Lower case, other than `TaskPriority`."""

MemoryLifecycle = Literal["permanent", "session", "project", "ephemeral"]
SyncOrigin = Literal["local", "cloud"]

SyncType = Literal["context", "memory"]
SyncStatus = Literal["pending", "processing", "failed", "completed"]
OperationStatus = Literal["pending", "committed", "discarded"]
OrphanAction = Literal["commit", "discard", "recovered", "partial_commit"]
DelegationStatus = Literal["pending", "accepted", "rejected", "in_progress", "completed", "failed"]
IngestStatus = Literal["pending", "running", "completed", "failed"]
UsageOperation = Literal["complete", "embed"]

VALUE_SETS = (
    TaskStatus,
    TaskPriority,
    PlanStatus,
    EscalationStatus,
    ConflictOutcome,
    MemoryOperation,
    MemoryClass,
    MemoryPriority,
    MemoryLifecycle,
    SyncOrigin,
    SyncType,
    SyncStatus,
    OperationStatus,
    OrphanAction,
    DelegationStatus,
    IngestStatus,
    UsageOperation,
)
