"""The dense network in each precision of the device, beside what pruning made of it."""

from __future__ import annotations

from dataclasses import dataclass

from hqp.records.estimate import Estimate
from hqp.records.method import Precision
from hqp.records.ranges import Count


@dataclass(frozen=True)
class BesideDense:
    """The file that the bound accepts, timed in turn with the dense network in each precision that the device runs.

    ``precision`` is the one in which the dense network holds the bound and is surely faster than the file after
    ``steps`` pruning steps, ``speedup`` times as fast: it stands in that file's place. None stands there where no
    precision is so fast.
    """

    file_ms: float
    dense_ms: dict[Precision, float]
    precision: Precision | None = None
    steps: Count = 0
    speedup: Estimate | None = None

    def __str__(self) -> str:
        dense = ", ".join(f"{precision.upper()} {ms:.3g}" for precision, ms in self.dense_ms.items())
        seen = f"timed in turn: {self.file_ms:.3g} ms, dense in {dense} ms"
        if self.precision is None:
            return f"{seen}; no dense network within the bound is surely faster"
        return f"{seen}; {self.faster} as the file after {self.steps} pruning steps, in whose place it stands"

    @property
    def faster(self) -> str:
        """How many times as fast the dense network is that stands in a file's place."""
        assert self.precision is not None and self.speedup is not None
        interval = f"{self.speedup.lower:.2f} to {self.speedup.upper:.2f}"
        return f"the dense network in {self.precision.upper()} is {self.speedup.value:.2f} times as fast ({interval})"
