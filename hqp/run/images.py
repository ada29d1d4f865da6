"""The images of a split, decoded once and kept as uint8: a pass over them is bound by the network."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hqp.measure.environment import usable_cores
from hqp.records import Samples
from hqp.store import Store

# Images decoded between two movements of the progress bar.
CHUNK = 250

Track = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]


def decoded(samples: Samples, size: int, store: Store, track: Track) -> npt.NDArray[np.uint8]:
    """The images of a split at ``size``, uint8 of shape (n, size, size, 3), read from a file in the store."""

    def build(folder: Path) -> None:
        shape = (len(samples), size, size, 3)
        images = np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, shape)
        chunks = [range(start, min(start + CHUNK, len(samples))) for start in range(0, len(samples), CHUNK)]

        def decode(chunk: range) -> int:
            images[chunk.start : chunk.stop] = samples.read(chunk, size)
            return len(chunk)

        step = f"images of {samples.dataset} {samples.split}"
        with track(step, len(samples)) as advance, ThreadPoolExecutor(usable_cores()) as pool:
            for count in pool.map(decode, chunks):
                advance(count)
        images.flush()

    place = store.make("images", {"samples": samples.digest, "size": size}, build)
    kept: npt.NDArray[np.uint8] = np.load(place / "images.npy", mmap_mode="r")
    return kept
