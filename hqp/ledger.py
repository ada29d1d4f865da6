"""What it takes to make something: seconds, images and passes, by step."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from hqp.records import Cost

# Of a second: finer than any step that is worth a line.
DECIMALS = 3


@dataclass
class Tally:
    """What a step counts while it lasts.

    ``seconds`` stays ``None`` unless a step knows better than the watch: a training that was killed and went on.
    """

    images: int = 0
    passes: int = 0
    seconds: float | None = None


class Ledger:
    """Costs by step, in the order in which the steps first came; those of one step are added up."""

    def __init__(self) -> None:
        self._by_step: dict[str, Cost] = {}

    @property
    def costs(self) -> tuple[Cost, ...]:
        """What was spent so far, one cost a step."""
        return tuple(self._by_step.values())

    def add(self, *costs: Cost) -> None:
        """Enters what steps took."""
        for cost in costs:
            before = self._by_step.get(cost.step, Cost(cost.step, 0, 0, 0.0))
            seconds = round(before.seconds + cost.seconds, DECIMALS)
            images, passes = before.images + cost.images, before.passes + cost.passes
            self._by_step[cost.step] = Cost(cost.step, images, passes, seconds)

    @contextmanager
    def step(self, name: str) -> Iterator[Tally]:
        """Times a step, and enters it when it ends; one that fails is not entered."""
        tally, start = Tally(), time.perf_counter()
        yield tally
        seconds = time.perf_counter() - start if tally.seconds is None else tally.seconds
        self.add(Cost(name, tally.images, tally.passes, round(seconds, DECIMALS)))
