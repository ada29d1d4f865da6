"""What every tool is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import nn

from hqp.compress.exporting.export import INPUT

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Given:
    """A trained network as module and as FP32 file, what calibrates, and what judges the files made of it.

    ``images`` are normalised, float32 (n, 3, size, size), ``labels`` int64 (n,). ``top1`` is a file's accuracy in
    percent, in the runtime that it is for, on images that are not those. At most ``delta_max_pp`` points may go.
    """

    model: nn.Module
    plain: Path
    images: Array
    labels: npt.NDArray[np.int64]
    top1: Callable[[Path], float]
    delta_max_pp: float

    @property
    def size(self) -> int:
        """The height and width of the images in pixels."""
        return self.images.shape[-1]

    def feeds(self) -> Iterator[dict[str, Array]]:
        """The calibration images as inputs of the file, one by one."""
        return ({INPUT: image[None]} for image in self.images)

    def is_within(self, file: Path) -> bool:
        """Whether a file loses no more than it may."""
        return self._trained_top1 - self.top1(file) <= self.delta_max_pp

    @cached_property
    def _trained_top1(self) -> float:
        return self.top1(self.plain)
