"""Batches that memory does not hold, done in halves."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import torch
from torch import Tensor

from hqp.errors import HqpError

Result = TypeVar("Result")

# What PyTorch raises for lack of memory on a CPU has no class of its own.
CPU_OUT_OF_MEMORY = "can't allocate memory"


class FittingBatches:
    """Does batches whole, or where memory does not hold them in parts; the size that fits is kept for the next."""

    def __init__(self, say: Callable[[str], None] = lambda line: None, most: int = sys.maxsize) -> None:
        """``most`` images are done at once, however many memory holds."""
        self.say, self._most = say, most

    def each(self, count: int, work: Callable[[slice], Result]) -> list[Result]:
        """What ``work`` gives for the parts of a batch of ``count`` images, in their order.

        Raises:
            HqpError: memory does not hold one image.
        """
        done: list[Result] = []
        start = 0
        while start < count:
            size = min(self._most, count - start)
            try:
                done.append(work(slice(start, start + size)))
                start += size
                continue
            except RuntimeError as error:
                if not lacks_memory(error):
                    raise
            # Here the error is gone, and with it all that its frames held.
            self._halve(size)
        return done

    def anew(self, batches: Callable[[], Iterable[Tensor]], work: Callable[[Iterator[Tensor]], Result]) -> Result:
        """What ``work`` gives for all batches; where memory does not hold one it begins anew, with smaller ones.

        For work that a batch leaves half done when it fails.

        Raises:
            HqpError: memory does not hold one image.
        """
        size = 0

        def parts() -> Iterator[Tensor]:
            nonlocal size
            for batch in batches():
                for part in batch.split(min(self._most, len(batch))):
                    size = len(part)
                    yield part

        while True:
            try:
                return work(parts())
            except RuntimeError as error:
                if not lacks_memory(error):
                    raise
            self._halve(size)

    def _halve(self, size: int) -> None:
        if size == 1:
            raise HqpError("memory does not hold a batch of one image", "more memory", "--input-size SMALLER")
        self._most = size // 2
        self.say(f"out of memory: batches of {self._most} images from here on")


def lacks_memory(error: Exception) -> bool:
    """Whether PyTorch raised it for lack of memory."""
    return isinstance(error, torch.OutOfMemoryError) or CPU_OUT_OF_MEMORY in str(error)
