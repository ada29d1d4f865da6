"""Photographs in class folders, in a directory or in a tar, and the splits that are cut from them."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hqp.errors import Damaged, HqpError, Unreadable
from hqp.records import SPLITS, Reading, Samples, digest_of

if TYPE_CHECKING:
    from PIL import Image

# As torchvision's ImageFolder.
EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")

# Of the training images, what `calibration` and a held-out `selection` take: 5,000, as the paper does, and of few
# images a tenth.
CUT_IMAGES, CUT_SHARE = 5_000, 10

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, eq=False)
class Tree:
    """The labelled images of one part, ``train`` say, in the order of their names.

    ``names`` are like ``cat/0001.jpg``; ``marks`` tell two versions of one image apart (its size in bytes);
    ``open(index)`` gives the image.
    """

    place: str
    classes: tuple[str, ...]
    names: tuple[str, ...]
    marks: tuple[int, ...]
    labels: npt.NDArray[np.int64]
    open: Callable[[int], Image.Image]


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
    crop = reading.crop or own.crop or 1.0

    def read(wanted: Sequence[int], size: int) -> npt.NDArray[np.uint8]:
        return np.stack([_pixels(tree, int(indices[one]), size, crop, reading.interpolation) for one in wanted])

    named = [(tree.names[index], tree.marks[index], int(tree.labels[index])) for index in indices]
    mean, std = reading.mean or own.mean or IMAGENET_MEAN, reading.std or own.std or IMAGENET_STD
    digest = digest_of([named, crop, reading.interpolation])
    labels, origin = tree.labels[indices], _origin(tree, split)
    return Samples(dataset, split, labels, tree.classes, mean, std, digest, read, origin=origin)


def _origin(tree: Tree, split: str) -> str:
    """What the calibration images are cut from."""
    if split != "calibration":
        return ""
    whole = len(tree.names)
    share = "a tenth" if whole < CUT_SHARE * CUT_IMAGES else f"{CUT_IMAGES:,}"
    return f"{share} of the {whole:,} images of {PurePosixPath(tree.place).name}"


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
        order = _drawn(tree)
        cut = min(CUT_IMAGES, max(1, len(order) // CUT_SHARE))
        slices = {
            "selection": slice(cut),
            "calibration": slice(cut, 2 * cut),
            "train": slice(cut if held_out else 0, None),
        }
        return tree, np.sort(order[slices[split]]) if split == "train" else order[slices[split]]
    if parts.test is not None or held_out:
        tree = parts.test() if parts.test is not None and split == "test" else parts.validation()
        chosen = _drawn(tree)
    else:
        tree = parts.validation()
        order = _drawn(tree)
        selection = len(order) // 2 if parts.selection_images is None else parts.selection_images
        chosen = order[:selection] if split == "selection" else order[selection:]
    _same_classes(tree, parts)
    return tree, chosen


def _same_classes(tree: Tree, parts: Parts) -> None:
    train = parts.train()
    for missing, there, here in ((set(train.classes) - set(tree.classes), train, tree),
                                 (set(tree.classes) - set(train.classes), tree, train)):  # fmt: skip
        if missing:
            raise HqpError(f"class '{min(missing)}' is in {there.place} and not in {here.place}", "the same in both")


@lru_cache(maxsize=4)
def _drawn(tree: Tree) -> npt.NDArray[np.intp]:
    """The images in an order that no one chose: by the hash of their names, the same on every machine and for ever."""
    hashes = [hashlib.sha256(name.encode()).digest() for name in tree.names]
    return np.array(sorted(range(len(hashes)), key=hashes.__getitem__), dtype=np.intp)


def _pixels(tree: Tree, index: int, size: int, crop: float, interpolation: str) -> npt.NDArray[np.uint8]:
    """One image, uint8 (size, size, 3): the shorter side resized to size / crop, then the middle.

    Colours are converted as torchvision's own loader does, by ``convert("RGB")``: grey and CMYK become RGB, a rotation
    noted in EXIF is not applied.
    """
    from PIL import Image

    try:
        with tree.open(index) as opened:
            image = opened.convert("RGB")
    # Pillow's decoders raise these on files that are cut off or damaged.
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        name = f"{tree.place}/{tree.names[index]}"
        raise Unreadable(name, str(error).partition(": <")[0] or type(error).__name__) from None
    shorter = round(size / crop)
    wide, high = (side * shorter // min(image.size) for side in image.size)
    if (wide, high) != image.size:
        image = image.resize((wide, high), Image.Resampling[interpolation.upper()])
    left, top = round((wide - size) / 2), round((high - size) / 2)
    return np.asarray(image.crop((left, top, left + size, top + size)))


# --- where the images are -----------------------------------------------------------------------------------------


def find(folder: Path, *names: str) -> Path | None:
    """The first of ``folder/NAME``, a directory, or ``folder/NAME.tar`` that exists."""
    places = [place for name in names for place in (folder / name, folder / f"{name}.tar")]
    return next((place for place in places if place.is_dir() or (place.suffix == ".tar" and place.is_file())), None)


def standard(folder: Path, selection_images: int | None = None) -> Parts:
    """``train`` with ``val`` or ``test``, each a directory or a tar; where both are there, ``selection`` is ``val``.

    Raises:
        HqpError: one of them is missing.
    """
    train, validation, test = (find(folder, *names) for names in (("train",), ("val", "validation"), ("test",)))
    judged = validation or test
    if train is None or judged is None:
        missing = "train" if train is None else "val or test"
        raise HqpError(f"there is no {missing} in {folder}", f"{folder}/train/CLASS/*.jpg and {folder}/val/CLASS/*.jpg")
    both = validation is not None and test is not None
    return Parts(
        lambda: tree(train), lambda: tree(judged), (lambda: tree(test)) if both and test else None, selection_images
    )


@lru_cache(maxsize=4)
def tree(place: Path) -> Tree:
    """The images in the class folders of a directory or of a tar.

    Raises:
        HqpError: there are no class folders, or one holds no images.
        Damaged: the tar is cut off or compressed.
    """
    return _directory(place) if place.is_dir() else _tar(place)


def _directory(place: Path) -> Tree:
    from PIL import Image

    folders = sorted(folder.name for folder in place.iterdir() if folder.is_dir() and not folder.name.startswith("."))
    files = sorted(
        (file.relative_to(place).as_posix(), file.stat().st_size)
        for name in folders
        for file in (place / name).rglob("*")
        if file.suffix.lower() in EXTENSIONS and not file.name.startswith(".")
    )
    return _tree(place, folders, files, lambda name: Image.open(place / name))


def _tar(place: Path) -> Tree:
    from PIL import Image

    try:
        with tarfile.open(place, "r:") as archive:
            members = [member for member in archive if not PurePosixPath(member.name).name.startswith(".")]
    except (tarfile.TarError, OSError) as error:
        raise Damaged(
            f"{place} is no whole, uncompressed tar ({error})", "class folders with images", f"tar xf {place}"
        ) from None
    paths = {PurePosixPath(member.name): member for member in members if member.isfile()}
    # The images may lie in the folder that was packed, `train/cat/1.jpg`, or start with their classes.
    depth = 1 if len({path.parts[0] for path in paths}) == 1 and all(len(path.parts) > 2 for path in paths) else 0
    images = {"/".join(path.parts[depth:]): member for path, member in paths.items() if _is_image(path, depth)}

    def content(name: str) -> Image.Image:
        # Opened anew for each image: two threads that share a file would share its position.
        with place.open("rb") as file:
            file.seek(images[name].offset_data)
            return Image.open(io.BytesIO(file.read(images[name].size)))

    folders = sorted({name.split("/")[0] for name in images})
    return _tree(place, folders, sorted((name, member.size) for name, member in images.items()), content)


def _is_image(path: PurePosixPath, depth: int) -> bool:
    return path.suffix.lower() in EXTENSIONS and len(path.parts) > depth + 1


def _tree(
    place: Path, folders: Sequence[str], files: Sequence[tuple[str, int]], content: Callable[[str], Image.Image]
) -> Tree:
    label = {name: number for number, name in enumerate(folders)}
    names, sizes = tuple(name for name, _ in files), tuple(size for _, size in files)
    labels = np.array([label[name.split("/")[0]] for name in names], np.int64)
    empty = sorted(set(range(len(folders))) - set(labels.tolist()))
    if not folders:
        raise HqpError(f"{place} has no class folders", f"{place}/CLASS/*.jpg")
    if empty:
        raise HqpError(f"class '{folders[empty[0]]}' has no images in {place}", f"one of {', '.join(EXTENSIONS)}")
    return Tree(str(place), tuple(folders), names, sizes, labels, lambda index: content(names[index]))
