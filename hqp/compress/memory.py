"""Batches that memory does not hold, done in halves."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

import torch

from hqp.errors import HqpError

Result = TypeVar("Result")

# What PyTorch raises for lack of memory on a CPU has no class of its own.
CPU_OUT_OF_MEMORY = "can't allocate memory"


class Parts:
    """Does batches whole, or where memory does not hold them in parts; the size that fits is kept for the next."""

    def __init__(self, say: Callable[[str], None] = lambda line: None) -> None:
        self._say, self._most = say, sys.maxsize

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
                if not isinstance(error, torch.OutOfMemoryError) and CPU_OUT_OF_MEMORY not in str(error):
                    raise
            # Here the error is gone, and with it all that its frames held.
            if size == 1:
                raise HqpError("memory does not hold a batch of one image", "more memory", "--input-size SMALLER")
            self._most = size // 2
            self._say(f"out of memory: batches of {self._most} images from here on")
        return done
