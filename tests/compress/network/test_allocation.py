"""Large tensors take the memory of those that were freed before them."""

from __future__ import annotations

import ctypes
import resource
import sys

import pytest
import torch

from hqp.compress.network import allocation

GLIBC = sys.platform == "linux" and hasattr(ctypes.CDLL(None), "mallopt")


def pages_cleared() -> int:
    """How many pages the system gives for three tensors of 64 MB, one after the other."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(3):
        torch.empty(2**24).fill_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(not GLIBC, reason="the allocator is not glibc's")
def test_inside_freed_memory_is_taken_again_and_afterwards_no_more() -> None:
    with allocation.kept():
        # Until the first ones are at hand.
        inside = [pages_cleared() for _ in range(4)][-1]
    # Pages are of 2 MB at most.
    assert inside < 32 < 96 <= pages_cleared()


def test_it_is_left_however_it_ends() -> None:
    with pytest.raises(ZeroDivisionError), allocation.kept():
        1 / 0  # noqa: B018
    if GLIBC:
        assert pages_cleared() >= 96
