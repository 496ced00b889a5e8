"""The check that Ecto's list of versions still equals the entries of this package's runs.

The module is separate from the maintenance of the list: every read of a database needs the check, and few runs change
anything.
"""

from __future__ import annotations

from diwa_schema.database.state import ECTO, State
from diwa_schema.errors import DatabaseRefused, command
from diwa_schema.migrations.ecto import AGENT, AGENTS_TABLES, is_ours, shared


def refuse_changed_list(state: State, shown: str) -> None:
    """Raise an error if Ecto's list differs from the records of this package's runs.

    Raises:
        DatabaseRefused: Versions are missing, or there are more than the revision implies.
    """
    gone, added = changed_list(state)
    if not gone and not added:
        return
    raise DatabaseRefused(
        f"Ecto's list of versions ({ECTO}) in {shown} was changed after the takeover: {in_words(gone, added)}."
        " If `mix ecto.rollback` or `mix ecto.migrate` made the change, the tables no longer match the"
        " revision.",
        next_step=(
            f"To see the differences, run: {command('check')}. Restore lost tables from a backup and correct"
            f" the list, then run: {command('upgrade')}"
        ),
        gone=list(gone),
        added=list(added),
    )


def in_words(gone: tuple[int, ...], added: tuple[int, ...]) -> str:
    """Return the changes of the list as words, without naming more than three versions of each kind."""
    what = [f"{', '.join(map(str, gone[:3]))} {'are' if gone[1:] else 'is'} gone"] if gone else []
    what += [f"{', '.join(map(str, added[:3]))} {'were' if added[1:] else 'was'} added"] if added else []
    return " and ".join(what)


def changed_list(state: State) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the versions of this history that Ecto's list lacks, and those that it has too early."""
    if state.revision is None or not is_ours(state.ecto):
        return (), ()
    listed = set(state.ecto or ())
    # The agent's own migration may be on record below the revision of its tables: the agent ran it.
    wanted = {version for version in shared() if version <= int(state.revision)}
    if state.revision >= AGENTS_TABLES:
        wanted.add(AGENT)
    return tuple(sorted(wanted - listed)), tuple(sorted((shared() & listed) - wanted))
