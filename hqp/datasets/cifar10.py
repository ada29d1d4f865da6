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
import numpy.typing as npt

from hqp.datasets import _folders, _trees
from hqp.errors import HqpError
from hqp.records import DEFAULT_READING, Reading, Samples

if TYPE_CHECKING:
    from PIL import Image

requires = ()
native_size = 64
own = Reading(mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616), crop=1.0)

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
SIDE = 32


def load(split: str, root: Path | None = None, reading: Reading = DEFAULT_READING) -> Samples:
    """One split; `root` is the data root, `data` where there is none."""
    root = root or Path("data")
    parts = _folders.Parts(lambda: _part(root, "train"), lambda: _part(root, "test"))
    return _folders.samples("cifar10", parts, split, reading, own)


@lru_cache(maxsize=4)
def _part(root: Path, part: str) -> _trees.Tree:
    if not (root / BATCHES).is_dir():
        tars = sorted(root.glob(f"cifar10*{part}.tar"))
        place = _trees.find(root / "cifar10", part) or (tars[0] if tars else None)
        if place is not None:
            return _trees.tree(place)
    return _batches(root, part)


def _batches(root: Path, part: str) -> _trees.Tree:
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
    return _in_memory(root, tuple(known.classes), np.asarray(known.targets, np.int64), known.data)


def _in_memory(
    root: Path, classes: tuple[str, ...], labels: npt.NDArray[np.int64], pixels: npt.NDArray[np.uint8]
) -> _trees.Tree:
    """Images at hand, uint8 (n, 32, 32, 3), as if each were a file that holds its pixels."""

    def content(index: int) -> bytes:
        return bytes(pixels[index].tobytes())

    names = tuple(f"{classes[label]}/{number:05}" for number, label in enumerate(labels))
    return _trees.Tree(str(root / BATCHES), classes, names, (0,) * len(names), labels, content, _decode)


def _decode(content: bytes) -> Image.Image:
    from PIL import Image

    return Image.frombytes("RGB", (SIDE, SIDE), content)
