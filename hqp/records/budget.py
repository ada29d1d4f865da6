"""How the points of accuracy that may be lost were spent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hqp.records.ranges import Points

Spender = Literal["blocks", "channels", "quantisation", "precision"]


@dataclass(frozen=True)
class Budget:
    """How much of Δmax each step took, in points of top-1 on ``selection``, in the order of the steps.

    ``blocks`` is what the network lost with the blocks that became something simpler, all others fitted anew,
    ``channels`` what it lost more with its channels, recovered and trained as the recipe says, ``quantisation`` what
    INT8 throughout took, with its calibration, and ``precision`` what it took that layers, or all, are in another
    precision. Together they are what the file lost. ``blocks`` is of those images on which the search judged that.
    Blocks and channels are judged in PyTorch, files in their runtime, which may differ in an image or two: that counts
    to the first step that is judged in a file.
    """

    delta_max_pp: Points
    spent_pp: dict[Spender, float]

    @property
    def left_pp(self) -> float:
        """What nothing took, on these images; below 0 where more was lost than may be."""
        return self.delta_max_pp - sum(self.spent_pp.values())

    def __str__(self) -> str:
        spent = ", ".join(f"{step} {_points(pp)}" for step, pp in self.spent_pp.items())
        return f"of {self.delta_max_pp:.2f} pp on 'selection': {spent}; {_points(self.left_pp)} left"


def _points(pp: float) -> str:
    # Without the sign of what rounds to nothing.
    return f"{round(pp, 2) + 0.0:.2f}"
