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
        parts = _folders.standard(self.require_there(root))
        return _folders.samples(f"image_folder:{self.path}", parts, split, reading, self.own)

    def require_there(self, root: Path | None = None) -> Path:
        """Where the folder is, here or below the data root.

        Raises:
            HqpError: there is none.
        """
        places = [Path(self.path), *([root / self.path] if root else [])]
        place = next((place for place in places if place.is_dir()), None)
        if place is None:
            right = "PATH/train/CLASS/*.jpg and PATH/val/CLASS/*.jpg"
            raise HqpError(f"there is no folder {self.path}", right, "--dataset image_folder:PATH")
        return place


def bind(argument: str) -> Folder:
    """The dataset in a folder."""
    return Folder(argument)
