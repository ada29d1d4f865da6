"""Splits of a dataset, and how many of their images a model gets right."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hqp.errors import HqpError
from hqp.records.canonical import Digest, is_digest

SPLITS = ("train", "calibration", "selection", "test")
JUDGING = ("selection", "test")


@dataclass(frozen=True)
class Leak:
    """How many images that judge, of those looked at, are training images too, byte for byte."""

    shared: int
    looked_at: int

    def warning(self, split: str) -> str:
        """What a user should read of it, in one line."""
        looked_at = f"{self.shared:,} of the {self.looked_at:,} images of '{split}' that were looked at"
        return f"warning: {looked_at} are in 'train' too, byte for byte: they flatter the network"


@dataclass(frozen=True, eq=False)
class Samples:
    """One split of a dataset: labels at hand, images read on demand.

    ``labels`` is int64 of shape (n,). ``read(indices, size)`` gives uint8 RGB of shape (len(indices), size, size, 3).
    ``mean`` and ``std`` normalise images scaled to 0..1. ``digest`` names exactly the images of the split; ``skipped``
    are the names of those that belong to it and could not be read. ``origin`` says what they were cut from. ``leak()``
    looks for training images among those of a split that judges; ``None`` where the dataset cannot have any.
    """

    dataset: str
    split: str
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    digest: Digest
    read: Callable[[Sequence[int], int], npt.NDArray[np.uint8]]
    skipped: tuple[str, ...] = ()
    origin: str = ""
    leak: Callable[[], Leak] | None = None

    def __post_init__(self) -> None:
        if not is_digest(self.digest):
            named = f"the digest of {self.dataset} {self.split} is {self.digest!r}"
            raise HqpError(named, "64 hexadecimal digits that name the images", "hashlib.sha256(…).hexdigest()")

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> Samples:
        """The first ``count`` images of the split, or all of them where it has no more."""
        if count >= len(self):
            return self
        digest = hashlib.sha256(f"{self.digest}/{count}".encode()).hexdigest()
        return replace(self, labels=self.labels[:count], digest=digest)

    def normalised(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """The network's input for uint8 (n, h, w, 3): float32 (n, 3, h, w), contiguous."""
        scale = (1.0 / (255.0 * np.asarray(self.std))).astype(np.float32)
        shift = (np.asarray(self.mean) / np.asarray(self.std)).astype(np.float32)
        # By planes: pixel by pixel it takes 15 times as long, a third of what a small network takes for an image.
        planes = images.transpose(0, 3, 1, 2).astype(np.float32, order="C")
        planes *= scale[:, None, None]
        planes -= shift[:, None, None]
        return planes


@dataclass(frozen=True)
class Accuracy:
    """Top-1 and top-5 counts on a split, and which images were right.

    ``hits`` is the base64 of the packed top-1 correctness, one bit an image in the split's order. ``without_numbers``
    counts the images for which an output was infinite or not a number.
    """

    split: str
    split_digest: Digest
    total: int
    correct: int
    correct_top5: int
    hits: str
    without_numbers: int = 0

    def __post_init__(self) -> None:
        packed = np.frombuffer(base64.b64decode(self.hits, validate=True), np.uint8)
        bytes_needed = (self.total + 7) // 8
        as_counted = len(packed) == bytes_needed and int(np.unpackbits(packed).sum()) == self.correct
        in_order = 0 <= self.correct <= self.correct_top5 <= self.total
        if not (as_counted and in_order and self.total > 0):
            raise ValueError("counts and hits contradict each other")

    @classmethod
    def of(cls, samples: Samples, outputs: npt.NDArray[np.floating[Any]]) -> Accuracy:
        """The accuracy of ``outputs``, logits of shape (n, classes), on the first n images of ``samples``."""
        labels = samples.labels[: len(outputs)]
        mine = outputs[np.arange(len(labels)), labels]

        # A rank counts strictly better classes and, of equal ones, those before: ties cannot flatter.
        better = outputs > mine[:, None]
        comes_before = np.arange(outputs.shape[1]) < labels[:, None]
        tied = (outputs == mine[:, None]) & comes_before
        rank = better.sum(axis=1) + tied.sum(axis=1)
        # An output that is no number is worse than all others.
        rank = np.where(np.isfinite(mine), rank, outputs.shape[1])

        hits = rank == 0
        return cls(
            split=samples.split,
            split_digest=samples.digest,
            total=len(labels),
            correct=int(hits.sum()),
            correct_top5=int((rank < 5).sum()),
            hits=base64.b64encode(np.packbits(hits).tobytes()).decode(),
            without_numbers=int((~np.isfinite(outputs)).any(axis=1).sum()),
        )

    @property
    def correct_images(self) -> npt.NDArray[np.bool_]:
        """Whether each image was right, bool of shape (total,)."""
        packed = np.frombuffer(base64.b64decode(self.hits), np.uint8)
        return np.unpackbits(packed, count=self.total).astype(bool)

    @property
    def top1(self) -> float:
        return self.correct / self.total

    @property
    def top5(self) -> float:
        return self.correct_top5 / self.total
