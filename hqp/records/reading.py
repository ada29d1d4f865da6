"""How images become a network's input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from hqp.errors import HqpError, UnknownName

Interpolation = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]

# A share that was made of two sizes, 224/232 say, must give the second back.
ROUNDING = 1e-6


def _are_three(values: Any, allowed: Callable[[float], bool]) -> bool:
    if not isinstance(values, tuple | list) or len(values) != 3:
        return False
    return all(_is_number(value) and allowed(value) for value in values)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True)
class Reading:
    """How images become a network's input; what is ``None`` is left to the weights or to the dataset.

    ``mean`` and ``std`` normalise images scaled to 0..1. An image is resized, then its middle is cut out. ``crop`` is
    the share of the resized image's shorter side that the cut keeps: 0.875 resizes it to 256 pixels for an input of
    224, and 1 crops a square image not at all (timm calls it ``crop_pct``). ``resize`` says what is resized: the
    ``shorter`` side; each side by itself, which does not keep the image's shape, ``squash``; or the shorter side to
    so many pixels, whatever the input's size, instead of ``crop``.

    ``held_out``: the model was trained by ``hqp train``, so that ``selection`` is the slice of ``train/`` that it left
    out, and not half of the validation images. ``skip_unreadable`` is how many images of a split may be unreadable.
    """

    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    crop: float | None = None
    interpolation: Interpolation | None = None
    held_out: bool = False
    skip_unreadable: int = 0
    resize: int | Literal["shorter", "squash"] | None = None

    def __post_init__(self) -> None:
        self._check_normalisation()
        # Lists, as they come from a file or the command line, are tuples from here on.
        for name, value in (("mean", self.mean), ("std", self.std)):
            object.__setattr__(self, name, tuple(value) if value is not None else None)
        self._check_geometry()
        if self.skip_unreadable < 0:
            raise HqpError(f"{self.skip_unreadable} unreadable images to skip", "0 or more", "--skip-unreadable 1")

    def _check_normalisation(self) -> None:
        if self.mean is not None and not _are_three(self.mean, lambda value: 0 <= value <= 1):
            raise HqpError(f"the mean of the images is {self.mean}", "three numbers from 0 to 1", "--mean 0.5,0.5,0.5")
        if self.std is not None and not _are_three(self.std, lambda value: 0 < value <= 1):
            raise HqpError(f"their deviation is {self.std}", "three numbers above 0 and up to 1", "--std 0.2,0.2,0.2")

    def _check_geometry(self) -> None:
        if self.crop is not None and not (_is_number(self.crop) and 0 < self.crop <= 1):
            wrong = f"the centre crop keeps {self.crop} of the shorter side"
            raise HqpError(wrong, "above 0 and at most 1", "--crop 0.875")
        if self.interpolation is not None and self.interpolation not in get_args(Interpolation):
            raise UnknownName("interpolation", str(self.interpolation), get_args(Interpolation), fix="")
        if self.resize not in (None, "shorter", "squash"):
            self._check_pixels()

    def _check_pixels(self) -> None:
        if not isinstance(self.resize, int) or isinstance(self.resize, bool) or self.resize < 1:
            raise HqpError(
                f"the images are resized to {self.resize!r}", "pixels of the shorter side, or 'squash'", "--resize 256"
            )
        if self.crop is not None:
            raise HqpError(
                f"the shorter side is resized to {self.resize} pixels, and the crop keeps {self.crop} of it",
                "one of the two: each follows from the other and the input's size",
            )

    def over(self, other: Reading) -> Reading:
        """What this reading says, and where it says nothing what ``other`` says."""
        if isinstance(self.resize, int):
            other = replace(other, crop=None)
        elif self.crop is not None and isinstance(other.resize, int):
            other = replace(other, resize=None)
        return Reading(
            mean=self.mean or other.mean,
            std=self.std or other.std,
            crop=self.crop or other.crop,
            interpolation=self.interpolation or other.interpolation,
            held_out=self.held_out or other.held_out,
            skip_unreadable=self.skip_unreadable or other.skip_unreadable,
            resize=self.resize or other.resize,
        )

    def resized(self, size: int) -> int:
        """To how many pixels the shorter side is resized for an input of ``size`` pixels, or both where it squashes.

        Raises:
            HqpError: to fewer than the input has.
        """
        if not isinstance(self.resize, int):
            return int(size / (self.crop or 1) + ROUNDING)
        if self.resize < size:
            raise HqpError(
                f"the shorter side is resized to {self.resize} pixels, and the input has {size}", f"{size} or more"
            )
        return self.resize

    def shown(self, size: int) -> str:
        """How an image becomes an input of ``size`` pixels, in words."""
        if self.crop is None and self.resize is None:
            return f"drawn at {size}x{size}"
        resized = self.resized(size)
        sides = "both sides" if self.resize == "squash" else "the shorter side"
        cut = "" if self.resize == "squash" and resized == size else f", the middle {size}x{size}"
        return f"{sides} resized to {resized}{cut}, {self.interpolation or 'bilinear'}"


DEFAULT_READING = Reading()

# What is done where neither the user nor the weights nor the dataset says anything: nothing is cropped.
WHOLE = Reading(crop=1.0, interpolation="bilinear", resize="shorter")


def triple_text(values: tuple[float, float, float]) -> str:
    """A mean or a deviation as it is typed."""
    return ",".join(f"{value:g}" for value in values)
