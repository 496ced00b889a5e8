"""The schedule of a fleet: the order of targets, their number at a time, and the stop condition."""

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
    """The order and the limits of a fleet's work.

    Args:
        jobs: The number of simultaneous targets, each in its own process; None for one more than the
            processors, because a process waits for the server half of its time.
        per_host: The maximum number of these on one server.
        waves: The sizes of the waves; remaining targets form the last wave. A wave begins after the previous one has
            ended. Targets with their own wave number come before all of these.
        stop_after: The number of failures after which no further target begins. By default a failure in the first of
            several waves stops the run at the end of that wave, and later failures do not stop it.
    """

    jobs: int | None = None
    per_host: int | None = None
    waves: tuple[int, ...] = ()
    stop_after: int | None = None

    @property
    def processes(self) -> int:
        """The number of simultaneous targets."""
        return self.jobs or min((os.cpu_count() or 1) + 1, _MOST)

    def refuse_impossible(self) -> None:
        """Raise if one of the numbers is not usable.

        Raises:
            UsageError: A number is below 1, or the number of jobs exceeds the limit.
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
        """Return whether no further target may begin.

        Args:
            wave: The number of the running or ended wave, starting at 0.
            waves: The number of waves.
            failed: The number of failed targets.
        """
        if self.stop_after is not None:
            return failed >= self.stop_after
        return wave == 0 and waves > 1 and failed > 0

    def at_once(self, failed: int) -> bool:
        """Whether the stop also applies within a wave."""
        return self.stop_after is not None and failed >= self.stop_after


def waves_of(text: str) -> tuple[int, ...]:
    """Return the sizes of the waves in a text such as ``1,10,rest``.

    Raises:
        UsageError: The text is not such a list.
    """
    words = [word.strip() for word in text.split(",")]
    if words[-1] == REST:
        words = words[:-1]
    if not all(word.isascii() and word.isdigit() and int(word) > 0 for word in words):
        raise UsageError(
            f"'{text:.40}' is not a list of waves.",
            next_step="Write the number of targets of each wave: --waves 1,10,rest",
        )
    return tuple(map(int, words))
