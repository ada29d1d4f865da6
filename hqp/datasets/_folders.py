"""Photographs in class folders, in a directory or in a tar, and the splits that are cut from them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from hqp.datasets._leaks import leaked
from hqp.datasets._pixels import pixels
from hqp.datasets._trees import Tree, content_digest, encoded, find, tree
from hqp.errors import HqpError
from hqp.records import JUDGING, SPLITS, WHOLE, Leak, Reading, Samples, digest_of

# Of the training images, what `calibration` and a held-out `selection` take: 5,000, as the paper does, and of few
# images a tenth.
CUT_IMAGES, CUT_SHARE = 5_000, 10

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Parts:
    """Where a dataset's training and validation images come from; ``test`` only where it stands beside ``validation``.

    ``selection_images`` is how many of the validation images are ``selection``; half of them where it is ``None``.
    """

    train: Callable[[], Tree]
    validation: Callable[[], Tree]
    test: Callable[[], Tree] | None = None
    selection_images: int | None = None


def samples(dataset: str, parts: Parts, split: str, reading: Reading, own: Reading) -> Samples:
    """One split of a dataset, its images read as ``reading`` says and, where it says nothing, as ``own`` does.

    Raises:
        HqpError: there is no such split, or its folders do not hold what they should.
    """
    if split not in SPLITS:
        raise HqpError(f"{dataset} has no split {split!r}", f"one of {', '.join(SPLITS)}")
    tree, indices = _cut(parts, split, reading.held_out)
    how = reading.over(own).over(WHOLE)

    def read(wanted: Sequence[int], size: int) -> npt.NDArray[np.uint8]:
        images = []
        for position in wanted:
            index = int(indices[position])
            images.append(pixels(tree.shown(index), partial(tree.open, index), size, how))
        return np.stack(images)

    def leak() -> Leak:
        train, trained_on = _cut(parts, "train", reading.held_out)
        return leaked(tree, indices.tolist(), train, trained_on.tolist())

    return Samples(
        dataset=dataset,
        split=split,
        labels=tree.labels[indices],
        classes=tree.classes,
        mean=how.mean or IMAGENET_MEAN,
        std=how.std or IMAGENET_STD,
        digest=digest_of([_named(tree, indices, split), *_geometry(how)]),
        read=read,
        origin=_origin(tree, split),
        leak=leak if split in JUDGING else None,
    )


def _named(tree: Tree, indices: npt.NDArray[np.intp], split: str) -> list[Any]:
    """What names the images of a split: their names, labels and contents; of ``train`` their sizes for their contents.

    An image may be replaced by another of the same size, which the few that judge or calibrate are read to see. Reading
    a million to train on would take too long each time.
    """
    marks = [content_digest(tree, int(index)) for index in indices] if split != "train" else []
    named = [(tree.names[index], tree.marks[index], int(tree.labels[index])) for index in indices]
    return [*named, *marks]


def _origin(tree: Tree, split: str) -> str:
    """What the calibration images are cut from."""
    if split != "calibration":
        return ""
    whole = len(tree.names)
    share = "a tenth" if whole < CUT_SHARE * CUT_IMAGES else f"{CUT_IMAGES:,}"
    return f"{share} of the {whole:,} images of {PurePosixPath(tree.place).name}"


def _geometry(how: Reading) -> list[Any]:
    """What a split's digest says of the way its images are read.

    An image that is not cropped is named as it was before there were other ways than the shorter side: the cards of
    trained checkpoints hold such digests.
    """
    plain = how.crop == 1 and how.resize == "shorter"
    return [how.crop, how.interpolation] if plain else [how.crop, how.interpolation, how.resize]


def _cut(parts: Parts, split: str, held_out: bool) -> tuple[Tree, npt.NDArray[np.intp]]:
    """The part that a split is cut from, and the split's images in it.

    They come in the order of ``_drawn``, so that the first of them, which calibrate or judge where fewer will do, are
    of all classes. Only ``train`` comes as it lies on the disk: whoever trains shuffles.

    ``calibration`` are training images, as the paper has it, which leaves more to train on. What judges was never
    trained on: with ``held_out``, ``selection`` is a slice of ``train/`` that ``train`` leaves out, and ``test`` all of
    the validation images; else these are divided in two.
    """
    if split in ("train", "calibration") or (held_out and split == "selection"):
        tree = parts.train()
        return tree, _of_training_images(tree, split, held_out)
    if parts.test is not None and split == "test":
        tree = parts.test()
        chosen = _drawn(tree)
    elif parts.test is not None or held_out:
        tree = parts.validation()
        chosen = _drawn(tree)
    else:
        tree = parts.validation()
        chosen = _of_validation_images(tree, split, parts.selection_images)
    _same_classes(tree, parts)
    return tree, chosen


def _of_training_images(tree: Tree, split: str, held_out: bool) -> npt.NDArray[np.intp]:
    """``selection``, where it is held out, then ``calibration``; ``train`` is all but what is held out."""
    order = _drawn(tree)
    cut = min(CUT_IMAGES, max(1, len(order) // CUT_SHARE))
    if split == "selection":
        return order[:cut]
    if split == "calibration":
        return order[cut : 2 * cut]
    return np.sort(order[cut:] if held_out else order)


def _of_validation_images(tree: Tree, split: str, selection_images: int | None) -> npt.NDArray[np.intp]:
    """``selection``, and behind it ``test``."""
    order = _drawn(tree)
    selection = len(order) // 2 if selection_images is None else selection_images
    return order[:selection] if split == "selection" else order[selection:]


def _same_classes(tree: Tree, parts: Parts) -> None:
    """Refuses a part that has another class than ``train``, or lacks one of its classes."""
    train = parts.train()
    for one, other in ((train, tree), (tree, train)):
        missing = set(one.classes) - set(other.classes)
        if missing:
            wrong = f"class '{min(missing)}' is in {one.place} and not in {other.place}"
            raise HqpError(wrong, "the same in both")


@lru_cache(maxsize=4)
def _drawn(tree: Tree) -> npt.NDArray[np.intp]:
    """The images in an order that no one chose: by the hash of their names, the same on every machine and for ever."""
    hashes = [hashlib.sha256(encoded(name)).digest() for name in tree.names]
    return np.array(sorted(range(len(hashes)), key=hashes.__getitem__), dtype=np.intp)


def standard(folder: Path, selection_images: int | None = None) -> Parts:
    """``train`` with ``val`` or ``test``, each a directory or a tar; where both are there, ``selection`` is ``val``.

    Raises:
        HqpError: one of them is missing.
    """
    train = find(folder, "train")
    validation = find(folder, "val", "validation")
    test = find(folder, "test")
    judged = validation or test
    if train is None or judged is None:
        missing = "train" if train is None else "val or test"
        right = f"{folder}/train/CLASS/*.jpg and {folder}/val/CLASS/*.jpg"
        raise HqpError(f"there is no {missing} in {folder}", right)
    # Where there is one folder only, `selection` and `test` are its halves.
    apart = partial(tree, test) if validation is not None and test is not None else None
    return Parts(partial(tree, train), partial(tree, judged), apart, selection_images)
