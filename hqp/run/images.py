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

Images = npt.NDArray[np.uint8]


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
    place = _decoded(samples, size, skip_unreadable, store, progress)
    if place is None and not skip_unreadable:
        return replace(samples, read=Stream(samples, size))
    known = place or _surveyed(samples, size, skip_unreadable, store, progress)
    skipped = store.read(known / DECODED, Decoded).skipped
    if len(skipped) > skip_unreadable:
        raise Unreadable(skipped[0].name, f"one of {len(skipped)}")
    kept = np.delete(np.arange(len(samples)), [one.index for one in skipped])
    images = np.load(place / IMAGES, mmap_mode="r") if place else None

    def read(indices: Sequence[int], wanted: int) -> Images:
        chosen = kept[np.asarray(indices)]
        return np.asarray(images[chosen]) if images is not None and wanted == size else samples.read(chosen, wanted)

    names = tuple(one.name for one in skipped)
    if names:
        progress.say(f"{samples.split}: {len(names)} unreadable images are left out: {', '.join(names)}")
    digest = digest_of([samples.digest, names]) if names else samples.digest
    whole = replace(samples, labels=samples.labels[kept], read=read, skipped=names, digest=digest)
    return whole if images is not None else replace(whole, read=Stream(whole, size))


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
    existing = next(folder for folder in (store.root.absolute(), *store.root.absolute().parents) if folder.is_dir())
    room = min(psutil.virtual_memory().available, shutil.disk_usage(existing).free)
    return needed_bytes <= LARGEST_SHARE * room


def _decode(samples: Samples, size: int, skip_unreadable: int, progress: Progress, into: Images | None) -> Decoded:
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
) -> Iterator[tuple[range, Images]]:
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
        self._ahead: tuple[range, list[Future[Images]]] | None = None

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(usable_cores())

    def __call__(self, indices: Sequence[int], size: int) -> Images:
        """The images at ``indices``, uint8 (n, size, size, 3)."""
        ahead, self._ahead = self._ahead, None
        foreseen = ahead is not None and ahead[0] == indices and size == self.size
        futures = ahead[1] if ahead is not None and foreseen else self._start(indices, size)
        if isinstance(indices, range) and size == self.size:
            following = range(indices.stop, min(indices.stop + len(indices), len(self.samples)))
            if following:
                self._ahead = following, self._start(following, size)
        return np.concatenate([future.result() for future in futures])

    def _start(self, indices: Sequence[int], size: int) -> list[Future[Images]]:
        share = -(-len(indices) // usable_cores())
        parts = [indices[start : start + share] for start in range(0, len(indices), share)]
        return [self._pool.submit(self.samples.read, part, size) for part in parts]
