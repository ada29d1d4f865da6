"""Photographs of one's own in class folders, `image_folder:PATH` with `PATH/train/CLASS` and `PATH/val/CLASS`.

``PATH`` is relative to the working directory or to the data root. A part may be a tar, ``PATH/train.tar``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hqp.datasets import _folders
from hqp.errors import HqpError
from hqp.records import DEFAULT_READING, Reading, Samples

requires = ()
argument = "PATH"

# As most published networks normalise; how images are cropped only the user can know.
OWN = Reading(mean=_folders.IMAGENET_MEAN, std=_folders.IMAGENET_STD)


@dataclass(frozen=True)
class Folder:
    """The dataset that a path stands for; its images have no size of their own."""

    path: str
    native_size: int | None = None
    requires: tuple[str, ...] = ()
    own: Reading = OWN

    def load(self, split: str, root: Path | None = None, reading: Reading = DEFAULT_READING) -> Samples:
        """One split of the folder."""
        places = [Path(self.path), *([root / self.path] if root else [])]
        place = next((place for place in places if place.is_dir()), None)
        if place is None:
            raise HqpError(f"there is no folder {self.path}", "PATH/train/CLASS/*.jpg and PATH/val/CLASS/*.jpg",
                           "--dataset image_folder:PATH")  # fmt: skip
        return _folders.samples(f"image_folder:{self.path}", _folders.standard(place), split, reading, self.own)


def bind(argument: str) -> Folder:
    """The dataset in a folder."""
    return Folder(argument)
