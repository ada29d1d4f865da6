"""ImageNet (ILSVRC 2012): `imagenet/train/CLASS` and `imagenet/val/CLASS` in the data root.

Of the 50,000 validation images 5,000 are ``selection`` and 45,000 ``test``.
"""

from __future__ import annotations

from pathlib import Path

from hqp.datasets import _folders
from hqp.records import DEFAULT_READING, Reading, Samples

requires = ()
native_size = None
own = Reading(mean=_folders.IMAGENET_MEAN, std=_folders.IMAGENET_STD, crop=0.875)
SELECTION_IMAGES = 5_000


def load(split: str, root: Path | None = None, reading: Reading = DEFAULT_READING) -> Samples:
    """One split; `root` is the data root, `data` where there is none."""
    parts = _folders.standard((root or Path("data")) / "imagenet", SELECTION_IMAGES)
    return _folders.samples("imagenet", parts, split, reading, own)
