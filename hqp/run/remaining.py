"""How long a run of several stages will still take, by the work that each was expected to be."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping


class Remaining:
    """Learns from the stages that are done how many seconds a unit of work takes.

    A stage in which nothing ``worked`` was found in the store, and tells no speed. ``works`` are the expected units of
    work of all stages, by name, in the order in which they run. Whatever is left then, the run ends after
    ``most_seconds``. ``clock`` gives seconds.
    """

    def __init__(
        self,
        works: Mapping[str, float],
        clock: Callable[[], float] = time.perf_counter,
        most_seconds: float = math.inf,
    ) -> None:
        self._ends = clock() + most_seconds
        self._ahead = dict(works)
        self._all = sum(works.values())
        self._clock = clock
        self._stage_work, self._stage_worked = 0.0, False
        self._began = clock()
        self._learnt_work = self._learnt_seconds = 0.0

    def begin(self, stage: str) -> None:
        """The stage before has ended, and this one begins."""
        if self._stage_worked and self._stage_work:
            self._learnt_work += self._stage_work
            self._learnt_seconds += self._clock() - self._began
        self._stage_work, self._stage_worked = self._ahead.pop(stage, 0.0), False
        self._began = self._clock()

    def worked(self) -> None:
        """Something of the running stage was made, and not found."""
        self._stage_worked = True

    @property
    def _unit_seconds(self) -> float | None:
        return self._learnt_seconds / self._learnt_work if self._learnt_work else None

    @property
    def seconds(self) -> float | None:
        """What is left, in seconds; ``None`` before the first stage is done."""
        unit = self._unit_seconds
        if unit is None:
            return None
        of_stage = max(unit * self._stage_work - (self._clock() - self._began), 0.0)
        until_the_end = max(self._ends - self._clock(), 0.0)
        return min(of_stage + unit * sum(self._ahead.values()), until_the_end)

    @property
    def share_done(self) -> float:
        """The share of the whole work that is in stages that are done, 0 to 1."""
        return 1 - (self._stage_work + sum(self._ahead.values())) / self._all if self._all else 0.0


def rounded(seconds: float) -> str:
    """A duration as one says it: ``20 s``, ``4 min``, ``2 h``."""
    if seconds < 90:
        return f"{max(10, 10 * round(seconds / 10))} s"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"
