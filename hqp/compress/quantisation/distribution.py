"""What calibration keeps of an activation: its extremes and a histogram, whatever the number of images.

The width of a bin is a power of two and doubles when a larger value comes, whereby pairs of bins become one: one pass
is enough, nothing is lost, and the result does not depend on the order of the images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from hqp.errors import HqpError

# How many bins a threshold is searched in, as TensorRT's own search does.
BINS = 2048
# Kept bins per searched bin, so that resampling to exactly BINS over the range seen leaves at least two to each.
FINENESS = 4
# How many values of a tensor are counted of one image, evenly spread; its lowest and highest are of all of them. Of 512
# images these are two million values: the share beyond a percentile of 99.99% is known to within 7% of itself.
COUNTED = 4096
# An image's counts are multiplied by a power of two, from 2**-16 to 2**16, so that sums are exact in any order.
MOST_SHIFT = 16
# Below 2**-64 all is one bin: nothing a network computes with is that small, and its inverse still fits a float32.
LEAST_EXPONENT = -64

Array = npt.NDArray[np.float32]
Counts = npt.NDArray[np.float64]


class NotFinite(HqpError):
    """An activation was NaN or infinite on an image."""

    def __init__(self, layer: str) -> None:
        super().__init__(f"calibration met NaN or infinity in {layer}", "finite weights and images")
        self.layer = layer


def no_counts() -> Counts:
    """An empty histogram."""
    return np.zeros(BINS * FINENESS)


@dataclass
class Distribution:
    """What is kept of a tensor: its extremes, and counts of |x| > 0 in bins of equal width from 0 to 2**exponent.

    ``name`` is that of the layer that gives it. Extremes are of all values, counts of ``COUNTED`` to an image, of which
    ``zeros`` are 0. ``relative`` are the same counts, each image's over the root mean square of its values, as a power
    of two.

    Exact zeros are not counted. They are represented without error at any threshold, and half of what a ReLU gives are
    zeros, which in the first bin would outweigh all else.
    """

    name: str
    low: float = 0.0
    high: float = 0.0
    exponent: int = LEAST_EXPONENT
    zeros: int = 0
    counts: Counts = field(default_factory=no_counts)
    relative: Counts = field(default_factory=no_counts)

    def add(self, values: Array) -> None:
        """Takes in the values of one image.

        Raises:
            NotFinite: one of them is NaN or infinite.
        """
        self._extend(float(values.min()), float(values.max()))
        magnitudes = np.abs(_spread(values))
        zeros = magnitudes.size - int(np.count_nonzero(magnitudes))
        self.zeros += zeros
        if zeros < magnitudes.size:
            counts = self._counted(magnitudes)
            counts[0] -= zeros
            self.counts += counts
            self.relative += counts * _over_its_size(magnitudes)

    @property
    def largest(self) -> float:
        """The largest magnitude seen."""
        return max(-self.low, self.high)

    @property
    def mean_square(self) -> float:
        """The mean square of the values, each as it were in the middle of its bin."""
        bins = len(self.counts)
        width = 2.0**self.exponent / bins
        middles = (np.arange(bins) + 0.5) * width
        squares = self.counts * middles**2
        return float(squares.sum() / (self.counts.sum() + self.zeros))

    def resampled(self, counts: Counts) -> Counts:
        """Its counts, or those that are relative, in ``BINS`` bins of equal width from 0 to the largest magnitude."""
        edges = np.linspace(0, 2.0**self.exponent, len(counts) + 1)
        below = np.concatenate([[0.0], np.cumsum(counts)])
        resampled = np.interp(np.linspace(0, self.largest, BINS + 1), edges, below)
        resampled[-1] = below[-1]  # the largest value stands at the lower end of its fine bin
        return np.diff(resampled)

    def _extend(self, low: float, high: float) -> None:
        """Has the extremes and the bins hold these values, too."""
        if not (math.isfinite(low) and math.isfinite(high)):
            raise NotFinite(self.name)
        self.low, self.high = min(self.low, low), max(self.high, high)
        if self.largest:
            _, exponent = math.frexp(self.largest)
            self._widen(exponent)

    def _widen(self, exponent: int) -> None:
        """Makes neighbouring bins one until they reach to 2**exponent."""
        if exponent <= self.exponent:
            return
        merged = min(2 ** (exponent - self.exponent), len(self.counts))
        for counts in (self.counts, self.relative):
            folded = counts.reshape(-1, merged).sum(axis=1)
            counts[:] = 0
            counts[: len(folded)] = folded
        self.exponent = exponent

    def _counted(self, magnitudes: Array) -> npt.NDArray[np.intp]:
        """How many of the magnitudes lie in each bin."""
        bins = len(self.counts)
        positions = magnitudes * np.float32(bins / 2.0**self.exponent)
        return np.bincount(positions.astype(np.intp), minlength=bins)


def _spread(values: Array) -> Array:
    """About ``COUNTED`` of the values, or all where they are fewer, as one row.

    An odd stride meets all columns of an image whose width is a power of two.
    """
    stride = max(1, values.size // COUNTED) | 1
    return values.ravel()[::stride]


def _over_its_size(magnitudes: Array) -> float:
    """One over the root mean square of an image's values, as a power of two."""
    # Float32 would not hold the squares of very large values.
    wide = magnitudes.astype(np.float64)
    root_mean_square = math.sqrt(wide @ wide / wide.size)
    _, exponent = math.frexp(root_mean_square)
    return float(2.0 ** max(-MOST_SHIFT, min(-exponent, MOST_SHIFT)))
