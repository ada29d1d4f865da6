"""One photograph as pixels of a network's input."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hqp.errors import Unreadable
from hqp.records import Reading

if TYPE_CHECKING:
    from PIL import Image

# Pillow has no mode of its own for grey values of 16 bits in these formats, and opens them as 32-bit integers.
SIXTEEN_IN_THIRTY_TWO = ("PNG", "PPM")

# What a value of 16 bits is divided by, so that the largest of them, 65,535, becomes the largest of 8 bits.
SIXTEEN_TO_EIGHT = 257


def pixels(name: str, content: Callable[[], Image.Image], size: int, reading: Reading) -> npt.NDArray[np.uint8]:
    """An image, uint8 (size, size, 3): resized as ``reading`` says, then its middle, as torchvision rounds it.

    Colours are converted as torchvision's own loader does, by ``convert("RGB")``: grey and CMYK become RGB, a rotation
    noted in EXIF is not applied. Grey values of 16 bits are scaled to 8, which that loader cuts off at 255.

    Raises:
        Unreadable: ``content`` opens no image, or one that is cut off.
    """
    from PIL import Image

    try:
        with content() as opened:
            image = _eight_bits(opened).convert("RGB")
    # Pillow's decoders raise these on files that are cut off or damaged.
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise Unreadable(name, _reason(error)) from None
    resized = _resized(image, reading.resized(size), reading)
    left, top = round((resized.width - size) / 2), round((resized.height - size) / 2)
    return np.asarray(resized.crop((left, top, left + size, top + size)))


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error).partition(": <")[0] or type(error).__name__


def _eight_bits(image: Image.Image) -> Image.Image:
    from PIL import Image

    sixteen = image.mode.startswith("I;16") or (image.mode == "I" and image.format in SIXTEEN_IN_THIRTY_TWO)
    if sixteen:
        values = np.asarray(image).astype(np.float64)
        return Image.fromarray(np.rint(values / SIXTEEN_TO_EIGHT).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError("its values have 32 bits, whose range nobody knows: 8 or 16 are read")
    return image


def _resized(image: Image.Image, pixels: int, reading: Reading) -> Image.Image:
    from PIL import Image

    shorter = min(image.size)
    if reading.resize == "squash":
        wide, high = pixels, pixels
    else:
        wide, high = (side * pixels // shorter for side in image.size)
    if (wide, high) == image.size:
        return image
    return image.resize((wide, high), Image.Resampling[(reading.interpolation or "bilinear").upper()])
