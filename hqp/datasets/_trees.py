"""Where photographs lie: the class folders of a directory or of a tar."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hqp.errors import Damaged, HqpError, command

if TYPE_CHECKING:
    from PIL import Image

# As torchvision's ImageFolder.
EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")

# The mark of what stands in an image's place and is no file: a link that leads nowhere, a pipe.
NO_FILE = -1


@dataclass(frozen=True, eq=False)
class Tree:
    """The labelled images of one part, ``train`` say, in the order of their names.

    ``names`` are like ``cat/0001.jpg``; ``marks`` tell two versions of one image apart (its size in bytes);
    ``content(index)`` gives an image's bytes, or raises ``OSError``, and ``decode`` makes the image of them.
    """

    place: str
    classes: tuple[str, ...]
    names: tuple[str, ...]
    marks: tuple[int, ...]
    labels: npt.NDArray[np.int64]
    content: Callable[[int], bytes]
    decode: Callable[[bytes], Image.Image]

    def open(self, index: int) -> Image.Image:
        """The image, whose pixels may be decoded only when they are asked for."""
        return self.decode(self.content(index))

    def shown(self, index: int) -> str:
        """The name of an image as it can be printed, whatever its bytes are."""
        return f"{self.place}/{printable(self.names[index])}"


@lru_cache(maxsize=200_000)
def content_digest(tree: Tree, index: int) -> str | None:
    """What names an image's bytes, read once; ``None`` where it has none, which whoever decodes it tells."""
    try:
        content = tree.content(index)
    except OSError:
        return None
    return hashlib.sha256(content).hexdigest() if content else None


def encoded(name: str) -> bytes:
    """The bytes of a file's name, those too that are no UTF-8."""
    return name.encode("utf-8", "surrogateescape")


def printable(name: str) -> str:
    """A file's name with ``\\xe9`` for a byte that is no UTF-8."""
    return encoded(name).decode("utf-8", "backslashreplace")


def find(folder: Path, *names: str) -> Path | None:
    """The first of ``folder/NAME``, a directory, or ``folder/NAME.tar`` that exists."""
    for name in names:
        directory, packed = folder / name, folder / f"{name}.tar"
        if directory.is_dir():
            return directory
        if packed.is_dir() or packed.is_file():
            return packed
    return None


@lru_cache(maxsize=4)
def tree(place: Path) -> Tree:
    """The images in the class folders of a directory or of a tar.

    What lies below a folder whose name begins with a dot is left out, as is a file of such a name.

    Raises:
        HqpError: there are no class folders, or one holds no images.
        Damaged: the tar is cut off or compressed.
    """
    return _directory(place) if place.is_dir() else _tar(place)


def _tree(place: Path, folders: set[str], marks: Mapping[str, int], content: Callable[[str], bytes]) -> Tree:
    """The images of which ``marks`` has the names, each in a folder that is its class."""
    classes = sorted(folders)
    if not classes:
        raise HqpError(f"{place} has no class folders", f"{place}/CLASS/*.jpg")
    number = {name: index for index, name in enumerate(classes)}
    names = sorted(marks)
    labels = np.array([number[name.split("/")[0]] for name in names], np.int64)
    _refuse_empty_classes(place, classes, labels)
    return Tree(
        place=printable(str(place)),
        classes=tuple(printable(name) for name in classes),
        names=tuple(names),
        marks=tuple(marks[name] for name in names),
        labels=labels,
        content=lambda index: content(names[index]),
        decode=_decode,
    )


def _refuse_empty_classes(place: Path, classes: Sequence[str], labels: npt.NDArray[np.int64]) -> None:
    empty = set(range(len(classes))) - set(labels.tolist())
    if empty:
        name = printable(classes[min(empty)])
        raise HqpError(f"class '{name}' has no images in {place}", f"one of {', '.join(EXTENSIONS)}")


def _decode(content: bytes) -> Image.Image:
    from PIL import Image

    return Image.open(io.BytesIO(content))


def _is_hidden(path: PurePosixPath) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _is_image(path: PurePosixPath) -> bool:
    return path.suffix.lower() in EXTENSIONS


# --- in a directory -----------------------------------------------------------------------------------------------


def _directory(place: Path) -> Tree:
    root = place.stat()
    above = ((root.st_dev, root.st_ino),)
    folders = {entry.name for entry in os.scandir(place) if entry.is_dir() and not entry.name.startswith(".")}
    marks: dict[str, int] = {}
    for folder in folders:
        for entry in _below(place / folder, above):
            path = PurePosixPath(Path(entry.path).relative_to(place).as_posix())
            if _is_image(path):
                marks[str(path)] = entry.stat().st_size if entry.is_file() else NO_FILE
    return _tree(place, folders, marks, lambda name: _bytes(place / name))


def _bytes(path: Path) -> bytes:
    # Reading a pipe would wait for ever.
    if path.exists() and not path.is_file():
        raise OSError("it is no file")
    return path.read_bytes()


def _below(folder: Path, above: tuple[tuple[int, int], ...]) -> Iterator[os.DirEntry[str]]:
    """What is no folder below a folder, hidden ones left out; links are followed, as torchvision follows them.

    A link to a folder in which it lies, one of those ``above``, is not: that would have no end.
    """
    known = folder.stat()
    me = (known.st_dev, known.st_ino)
    if me in above:
        return
    for entry in os.scandir(folder):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _below(Path(entry.path), (*above, me))
        else:
            yield entry


# --- in a tar -----------------------------------------------------------------------------------------------------


def _tar(place: Path) -> Tree:
    members = _members(place)
    files = [path for path, member in members.items() if not member.isdir() and _is_image(path)]
    depth = _depth_of_classes(files)
    images = {"/".join(path.parts[depth:]): members[path] for path in files if len(path.parts) > depth + 1}

    # A folder without an image is a class too, and is refused as an empty one.
    folders = {name.split("/")[0] for name in images}
    for path, member in members.items():
        if member.isdir() and len(path.parts) > depth:
            folders.add(path.parts[depth])

    def content(name: str) -> bytes:
        member = images[name]
        if not member.isfile():
            raise OSError("a link that leads to no file of the tar")
        # Opened anew for each image: two threads that share a file would share its position.
        with place.open("rb") as file:
            file.seek(member.offset_data)
            return file.read(member.size)

    marks = {name: _mark(member) for name, member in images.items()}
    return _tree(place, folders, marks, content)


def _depth_of_classes(images: Sequence[PurePosixPath]) -> int:
    """1 where the images lie in the folder that was packed, `train/cat/1.jpg`, and 0 where they begin with a class."""
    in_one_folder = len({path.parts[0] for path in images}) == 1
    all_deeper = all(len(path.parts) > 2 for path in images)
    return 1 if in_one_folder and all_deeper else 0


def _mark(member: tarfile.TarInfo) -> int:
    return member.size if member.isfile() else NO_FILE


def _members(place: Path) -> dict[PurePosixPath, tarfile.TarInfo]:
    """The members of a tar by path, hidden ones left out; in the place of a link, hard or symbolic, what it names."""
    try:
        with tarfile.open(place, "r:") as archive:
            every = {PurePosixPath(member.name): member for member in archive}
    except (tarfile.TarError, OSError) as error:
        wrong = f"{place} is no whole, uncompressed tar ({error})"
        raise Damaged(wrong, "class folders with images", command("tar", "xf", place)) from None
    found = {path: _followed(path, every) for path in every if path.parts and not _is_hidden(path)}
    for path, member in found.items():
        link_to_folder = member.isdir() and not every[path].isdir()
        # It may have been a folder of images, which must not be left out without a word.
        if not _is_image(path) and (member.issym() or link_to_folder):
            raise HqpError(
                f"{printable(str(path))} in {place} is a link that leads to no file of the tar",
                "files and folders alone, or the folder that it unpacks to",
                command("tar", "xf", place),
            )
    return found


def _followed(path: PurePosixPath, every: Mapping[PurePosixPath, tarfile.TarInfo]) -> tarfile.TarInfo:
    """The member that a path names, through as many links as there are; the last link where that leads to none."""
    seen = set()
    while every[path].islnk() or every[path].issym():
        seen.add(path)
        # A hard link names a member, a symbolic one what lies beside it.
        beside = path.parent if every[path].issym() else PurePosixPath()
        named = PurePosixPath(os.path.normpath(beside / every[path].linkname))
        if named in seen or named not in every:
            break
        path = named
    return every[path]
