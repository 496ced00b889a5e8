"""The users of each command, with examples: the source of the lists in `--help`."""

from __future__ import annotations

AUDIENCES: dict[str, dict[str, str]] = {
    "application": {
        "status": "status --url postgresql://app@db/diwa",
        "doctor": "doctor --url postgresql://app@db/diwa",
        "export": "export json-schema --output schemas",
    },
    "operator": {
        "plan": "plan --observe --url postgresql://owner@db/diwa",
        "upgrade": "upgrade --url postgresql://owner@db/diwa --renew diwa_app",
        "check": "check --url postgresql://owner@db/diwa",
        "history": "history --applied --url postgresql://owner@db/diwa",
        "adopt": "adopt --plan --url postgresql://owner@db/diwa",
        "downgrade": "downgrade -1 --url postgresql://owner@db/diwa --confirm diwa",
        "violations": "violations tasks_priority_check --limit 100",
        "validate": "validate tasks_priority_check",
        "enable-vector": "enable-vector --url postgresql://owner@db/diwa",
        "disable-vector": "disable-vector --url postgresql://owner@db/diwa",
        "index": "index list",
        "roles": "roles --apply --url postgresql://admin@db/diwa",
        "fleet": "fleet status --url postgresql://owner@db/diwa --schemas 'tenant_*'",
        "stamp": "stamp 20260228010000 --url postgresql://owner@db/diwa",
        "protect": "protect --reason 'production' --url postgresql://owner@db/diwa",
        "unprotect": "unprotect --url postgresql://owner@db/diwa",
        "drop": "drop --url postgresql://owner@db/diwa --confirm diwa",
        "completion": "completion bash",
    },
    "owner of a repository": {
        "guard": "guard --operation drop",
        "repo-check": "repo-check --base main",
        "init": "init --dry-run",
        "mix": "mix --repo diwa-cloud ecto.migrate -- --step 1",
    },
    "contributor, in a checkout of diwa-schema": {
        "revision": "revision -m 'Let a task have a mood' --autogenerate",
        "lint": "lint --since main",
        "prove": "prove 20260228010000",
        "release": "release 0.2.0 --check",
    },
}

_VERBS = {
    "fleet status": "fleet status --url postgresql://owner@db/diwa --schemas 'tenant_*'",
    "fleet plan": "fleet plan --targets targets.csv",
    "fleet upgrade": "fleet upgrade --url postgresql://owner@db/diwa --waves 1,10,rest --json",
    "fleet check": "fleet check --targets targets.csv --jobs 4",
    "fleet digest": "fleet digest --server postgresql://owner@db/postgres --databases 'diwa_*'",
    "fleet adopt": "fleet adopt --targets targets.csv",
    "fleet create": "fleet create tenant_7 --url postgresql://owner@db/diwa",
    "fleet copy": "fleet copy sqlite:///home.db postgresql://owner@db/diwa --target-schema tenant_9",
    "fleet drop": "fleet drop tenant_7 --url postgresql://owner@db/diwa --confirm tenant_7",
}


def example(command: str) -> str:
    """Return an example of a command without the program's name; an empty text if there is none."""
    if command in _VERBS:
        return _VERBS[command]
    return next((named[command] for named in AUDIENCES.values() if command in named), "")
