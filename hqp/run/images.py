"""The images of a split, decoded once and kept as uint8 where they fit, else streamed by workers.

Either way a pass over them is bound by the network.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import psutil

from hqp import documents
from hqp.errors import Unreadable
from hqp.measure.environment import usable_cores
from hqp.records import Samples, digest_of
from hqp.run.progress import Progress
from hqp.store import Store

IMAGES, DECODED = "images.npy", "decoded.json"

# Images decoded between two movements of the progress bar.
CHUNK = 250

# What the images of one split may take of the memory that is free, and of the disk.
LARGEST_SHARE = 0.5

PixelArray = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Skipped:
    """An image that could not be read: its place in the split, and its name."""

    index: int
    name: str


@dataclass(frozen=True)
class Decoded:
    """What decoding a split found."""

    skipped: tuple[Skipped, ...]


def prepared(samples: Samples, size: int, skip_unreadable: int, store: Store, progress: Progress) -> Samples:
    """The split, ready to be passed over many times at ``size`` pixels, without the images that cannot be read.

    Raises:
        Unreadable: more images than ``skip_unreadable`` cannot be read.
    """
    decoded = _decoded(samples, size, skip_unreadable, store, progress)
    if decoded is None and not skip_unreadable:
        return replace(samples, read=Stream(samples, size))

    # What does not fit is read once all the same, to know which images are left out.
    known = decoded or _surveyed(samples, size, skip_unreadable, store, progress)
    skipped = store.read(known / DECODED, Decoded).skipped
    if len(skipped) > skip_unreadable:
        raise Unreadable(skipped[0].name, f"one of {len(skipped)}")
    readable = _without(samples, skipped)
    if readable.skipped:
        names = ", ".join(readable.skipped)
        progress.say(f"{samples.split}: {len(readable.skipped)} unreadable images are left out: {names}")

    if decoded is None:
        return replace(readable, read=Stream(readable, size))
    kept = _kept(samples, skipped)
    images = np.load(decoded / IMAGES, mmap_mode="r")

    def read(indices: Sequence[int], wanted: int) -> PixelArray:
        if wanted != size:
            return readable.read(indices, wanted)
        return np.asarray(images[kept[np.asarray(indices)]])

    return replace(readable, read=read)


def _kept(samples: Samples, skipped: Sequence[Skipped]) -> npt.NDArray[np.intp]:
    """The places in the split of the images that are not skipped."""
    return np.delete(np.arange(len(samples)), [image.index for image in skipped])


def _without(samples: Samples, skipped: Sequence[Skipped]) -> Samples:
    """The split as if it had never held the skipped images; its digest says that they are missing."""
    kept, names = _kept(samples, skipped), tuple(image.name for image in skipped)

    def read(indices: Sequence[int], size: int) -> PixelArray:
        return samples.read(kept[np.asarray(indices)], size)

    digest = digest_of([samples.digest, names]) if names else samples.digest
    return replace(samples, labels=samples.labels[kept], read=read, skipped=names, digest=digest)


def _decoded(samples: Samples, size: int, skip_unreadable: int, store: Store, progress: Progress) -> Path | None:
    """The folder of the store that holds the decoded images, or ``None`` where they are too many to be kept."""
    key = {"samples": samples.digest, "size": size, "form": documents.form(Decoded)}
    if not store.path("images", key).is_dir() and not _fits(len(samples) * size * size * 3, store):
        return None

    def build(folder: Path) -> None:
        images = np.lib.format.open_memmap(folder / IMAGES, "w+", np.uint8, (len(samples), size, size, 3))
        _reserve(folder / IMAGES)
        documents.write(folder / DECODED, _decode(samples, size, skip_unreadable, progress, images))
        images.flush()

    return store.make("images", key, build)


def _reserve(file: Path) -> None:
    """Takes the room that a mapped file needs: where the disk is full, writing to the map would end the process."""
    if hasattr(os, "posix_fallocate"):
        with file.open("r+b") as opened:
            os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)


def _surveyed(samples: Samples, size: int, skip_unreadable: int, store: Store, progress: Progress) -> Path:
    """The folder of the store that says which images cannot be read; none is kept."""

    def build(folder: Path) -> None:
        documents.write(folder / DECODED, _decode(samples, size, skip_unreadable, progress, None))

    return store.make("survey", {"samples": samples.digest, "form": documents.form(Decoded)}, build)


def _fits(needed_bytes: int, store: Store) -> bool:
    """Whether so many bytes take no more than their share of the memory and of the disk that are free."""
    root = store.root.absolute()
    # The store may not exist yet, and the disk is asked of a folder that does.
    existing = next(folder for folder in (root, *root.parents) if folder.is_dir())
    free_memory = psutil.virtual_memory().available
    free_disk = shutil.disk_usage(existing).free
    return needed_bytes <= LARGEST_SHARE * min(free_memory, free_disk)


def _decode(samples: Samples, size: int, skip_unreadable: int, progress: Progress, into: PixelArray | None) -> Decoded:
    """Reads every image, in as many threads as there are cores."""
    chunks = [range(start, min(start + CHUNK, len(samples))) for start in range(0, len(samples), CHUNK)]
    skipped: list[Skipped] = []

    def decode(chunk: range) -> int:
        for indices, images in _readable(samples, chunk, size, skipped, skip_unreadable):
            if into is not None:
                into[indices.start : indices.stop] = images
        return len(chunk)

    step = f"images of {samples.dataset} {samples.split}"
    with progress.track(step, len(samples)) as advance, ThreadPoolExecutor(usable_cores()) as pool:
        for count in pool.map(decode, chunks):
            advance(count)
    return Decoded(tuple(sorted(skipped, key=lambda one: one.index)))


def _readable(
    samples: Samples, chunk: range, size: int, skipped: list[Skipped], skip_unreadable: int
) -> Iterator[tuple[range, PixelArray]]:
    """The images of a chunk; where one cannot be read, image by image, and its name is noted in ``skipped``."""
    try:
        yield chunk, samples.read(chunk, size)
        return
    except Unreadable:
        if not skip_unreadable:
            raise
    for index in chunk:
        one = range(index, index + 1)
        try:
            yield one, samples.read(one, size)
        except Unreadable as error:
            skipped.append(Skipped(index, error.name))
            if len(skipped) > skip_unreadable:
                raise


class Stream:
    """Reads images that are not kept, in threads, and while the network works on one batch already the next."""

    def __init__(self, samples: Samples, size: int) -> None:
        self.samples, self.size = samples, size
        self._ahead: tuple[range, list[Future[PixelArray]]] | None = None

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(usable_cores())

    def __call__(self, indices: Sequence[int], size: int) -> PixelArray:
        """The images at ``indices``, uint8 (n, size, size, 3)."""
        futures = self._foreseen(indices, size) or self._start(indices, size)
        # Whoever passes over the split asks for ranges, one behind the other.
        if isinstance(indices, range) and size == self.size:
            following = range(indices.stop, min(indices.stop + len(indices), len(self.samples)))
            if following:
                self._ahead = following, self._start(following, size)
        return np.concatenate([future.result() for future in futures])

    def _foreseen(self, indices: Sequence[int], size: int) -> list[Future[PixelArray]]:
        """What is being read already of just these images; nothing where others were expected."""
        ahead, self._ahead = self._ahead, None
        if ahead is None or ahead[0] != indices or size != self.size:
            return []
        return ahead[1]

    def _start(self, indices: Sequence[int], size: int) -> list[Future[PixelArray]]:
        share = -(-len(indices) // usable_cores())
        parts = [indices[start : start + share] for start in range(0, len(indices), share)]
        return [self._pool.submit(self.samples.read, part, size) for part in parts]
