"""In which order the targets of a fleet are worked on, how many at once, and when no further one is begun."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from diwa_schema.errors import UsageError

if TYPE_CHECKING:
    from diwa_schema.fleet.targets import Member

REST = "rest"
_MOST = 64  # processes


class Schedule(NamedTuple):
    """How a fleet is worked through.

    Args:
        jobs: How many targets are worked on at once, each in a process; None for as many as there are processors.
        per_host: How many of these may be of one server.
        waves: How many targets go first, then how many, and so on; what is left goes at the end. A wave begins when
            the one before has ended. Targets that say their wave come before all of these.
        stop_after: No further target is begun once so many have failed. By default a failure in the first of several
            waves stops the run at its end, and later ones do not.
    """

    jobs: int | None = None
    per_host: int | None = None
    waves: tuple[int, ...] = ()
    stop_after: int | None = None

    @property
    def processes(self) -> int:
        """How many targets are worked on at once."""
        return self.jobs or min(os.cpu_count() or 1, _MOST)

    def refuse_impossible(self) -> None:
        """Raise unless each number is one that can be worked with.

        Raises:
            UsageError: One is below 1, or there are more jobs than a machine takes.
        """
        for name, number in (
            ("jobs", self.jobs),
            ("per-host", self.per_host),
            ("stop-after", self.stop_after),
            *(("waves", wave) for wave in self.waves),
        ):
            most = _MOST if name == "jobs" else None
            if number is not None and (number < 1 or (most and number > most)):
                raise UsageError(
                    f"--{name} {number} is not a number {f'from 1 to {most}' if most else 'of 1 or more'}."
                )

    def cut(self, members: Sequence[Member]) -> list[list[int]]:
        """Return the waves, each as the positions of its members; none of them is empty."""
        named = sorted({member.wave for member in members if member.wave is not None})
        waves = [[at for at, member in enumerate(members) if member.wave == wave] for wave in named]
        rest = [at for at, member in enumerate(members) if member.wave is None]
        for size in self.waves:
            waves.append(rest[:size])
            rest = rest[size:]
        return [wave for wave in (*waves, rest) if wave]

    def stops(self, wave: int, waves: int, failed: int) -> bool:
        """Whether no further target is begun.

        Args:
            wave: The number of the wave that runs or has ended, from 0 on.
            waves: How many there are.
            failed: How many targets have failed.
        """
        if self.stop_after is not None:
            return failed >= self.stop_after
        return wave == 0 and waves > 1 and failed > 0

    def at_once(self, failed: int) -> bool:
        """Whether no further target is begun within a wave either."""
        return self.stop_after is not None and failed >= self.stop_after


def waves_of(text: str) -> tuple[int, ...]:
    """Return the sizes of the waves in a text such as ``1,10,rest``.

    Raises:
        UsageError: It is none.
    """
    words = [word.strip() for word in text.split(",")]
    if words[-1] == REST:
        words = words[:-1]
    if not all(word.isascii() and word.isdigit() and int(word) > 0 for word in words):
        raise UsageError(
            f"'{text:.40}' are not waves.",
            next_step="Write how many go first, then how many: --waves 1,10,rest",
        )
    return tuple(map(int, words))
