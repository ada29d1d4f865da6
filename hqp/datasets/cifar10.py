"""CIFAR-10 (A. Krizhevsky, 2009): photographs of ten classes, at 64x64 by default.

Read from the data root, whichever is there: torchvision's own layout ``cifar-10-batches-py``, class folders
``cifar10/train`` and ``cifar10/test``, or tars of such folders, ``cifar10*train.tar`` and ``cifar10*test.tar``. Where
there is none of them, torchvision downloads its own.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from hqp.datasets import _folders
from hqp.errors import HqpError
from hqp.records import DEFAULT_READING, Reading, Samples

if TYPE_CHECKING:
    from PIL import Image

requires = ()
native_size = 64
OWN = Reading(mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616), crop=1.0)

# float32: without instructions of its own for bfloat16, a CPU takes ten times as long in it. AdamW's strong decay
# is what closes the gap between trained and unseen images in so few epochs.
training = MappingProxyType(
    {
        "phases": ((64, 10),),
        "precision": "float32",
        "weight_decay": 0.3,
        "flip": True,
        "shift": 0.125,
        "erase": 0.25,
        "brightness": 0.1,
        "contrast": 0.1,
    }
)
"""What `hqp train` does otherwise here than by default: fields of `TrainingRecipe`."""

BATCHES = "cifar-10-batches-py"


def load(split: str, root: Path | None = None, reading: Reading = DEFAULT_READING) -> Samples:
    """One split; `root` is the data root, `data` where there is none."""
    root = root or Path("data")
    parts = _folders.Parts(lambda: _part(root, "train"), lambda: _part(root, "test"))
    return _folders.samples("cifar10", parts, split, reading, OWN)


@lru_cache(maxsize=4)
def _part(root: Path, part: str) -> _folders.Tree:
    if not (root / BATCHES).is_dir():
        tars = sorted(root.glob(f"cifar10*{part}.tar"))
        place = _folders.find(root / "cifar10", part) or (tars[0] if tars else None)
        if place is not None:
            return _folders.tree(place)
    return _batches(root, part)


def _batches(root: Path, part: str) -> _folders.Tree:
    """torchvision's layout; it unpickles nothing whose MD5 is not the published one."""
    try:
        from torchvision.datasets import CIFAR10

        known = CIFAR10(str(root), train=part == "train", download=not (root / BATCHES).is_dir())
    except ImportError:
        raise HqpError(f"{root / BATCHES} is read by torchvision", fix="pip install 'hqp[compress]'") from None
    except (OSError, RuntimeError) as error:
        raise HqpError(
            f"CIFAR-10 is not in {root}, and cannot be downloaded ({error})",
            f"{BATCHES}/, cifar10/train/ and cifar10/test/, or tars of these, in the data root",
            "export HQP_DATA=DIR",
        ) from None
    names = tuple(f"{known.classes[label]}/{number:05}" for number, label in enumerate(known.targets))
    labels, pixels = np.asarray(known.targets, np.int64), known.data

    def content(index: int) -> Image.Image:
        from PIL import Image

        return Image.fromarray(pixels[index])

    return _folders.Tree(str(root / BATCHES), tuple(known.classes), names, (0,) * len(names), labels, content)
