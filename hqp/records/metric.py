"""One kind of number that was measured of an artefact on a device."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

# In what a unit is read, and how many of it that is: decimal, as disks and data sheets count.
READ_IN = {"bytes": ("MB", 1e6)}


@dataclass(frozen=True)
class Metric:
    """Raw samples of one number, with its name and its unit.

    ``of`` names the part of the artefact that was measured, an operator say; it is empty where that is the whole.
    """

    name: str
    unit: str
    samples: tuple[float, ...]
    of: str = ""

    def __post_init__(self) -> None:
        if not self.samples or not all(math.isfinite(sample) for sample in self.samples):
            raise ValueError(f"{self.name} has no samples, or one that is no number")
        # Counts come as integers, and what is read from a file as floats: both are one value.
        object.__setattr__(self, "samples", tuple(float(sample) for sample in self.samples))

    @property
    def median(self) -> float:
        """The median of the samples, in ``unit``."""
        return float(np.median(self.samples))


def words_of(name: str) -> str:
    """A metric's name as it is read: ``peak memory``."""
    return name.replace("_", " ")


def in_readable_unit(value: float, unit: str) -> tuple[str, str]:
    """A value to three significant digits, or to its last whole one, and the unit that it is told in."""
    told_in, size = READ_IN.get(unit, (unit, 1))
    scaled = value / size
    digits_before_the_point = math.floor(math.log10(abs(scaled))) + 1 if scaled else 1
    return f"{scaled:,.{max(0, 3 - digits_before_the_point)}f}", told_in


def metric_named(metrics: tuple[Metric, ...], name: str) -> Metric | None:
    """The metric of the whole artefact that has this name, or ``None`` where it could not be measured."""
    return next((metric for metric in metrics if metric.name == name and not metric.of), None)
