"""What the options say of how images become a network's input."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from hqp.errors import HqpError

if TYPE_CHECKING:
    from hqp.records import Reading

TRIPLES = ("--mean", "--std")

Mean = Annotated[
    str | None, typer.Option(metavar="R,G,B", help="Mean of the images, scaled to 0..1.", show_default=False)
]
Std = Annotated[str | None, typer.Option(metavar="R,G,B", help="Their standard deviation.", show_default=False)]
Crop = Annotated[
    float | None,
    typer.Option(metavar="SHARE", help="Centre crop: 0.875 of 256 for 224; 1 is none.", show_default=False),
]
Resize = Annotated[
    str | None,
    typer.Option(
        metavar="PIXELS|squash",
        help="The shorter side before the crop, or squash both.",
        show_default=False,
    ),
]
Interpolation = Annotated[
    str | None, typer.Option(metavar="NAME", help="bilinear, bicubic, nearest, …", show_default=False)
]


class ImagesCommand(TyperCommand):
    """A command whose ``--mean`` and ``--std`` take three numbers, as one word or as three."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Joins the numbers that follow such an option into one word, ``0.5,0.5,0.5``, which is its value."""
        return super().parse_args(ctx, list(_joined(args)))


def _joined(words: Iterable[str]) -> Iterator[str]:
    numbers: list[str] = []
    of_triple = False
    for word in words:
        if of_triple and _numbers(word):
            numbers.append(word)
            continue
        if numbers:
            yield ",".join(numbers)
            numbers = []
        of_triple = word in TRIPLES
        yield word
    if numbers:
        yield ",".join(numbers)


def _numbers(word: str) -> list[float]:
    """The numbers of a word between its commas; none where it holds anything else."""
    try:
        return [float(number) for number in word.split(",") if number.strip()]
    except ValueError:
        return []


def reading(
    mean: str | None,
    std: str | None,
    crop: float | None,
    resize: str | None,
    interpolation: Any,
    skip_unreadable: int,
) -> Reading:
    """What the user says of his images.

    Raises:
        HqpError: a word is no number, or out of range.
    """
    from hqp.records import Reading

    pixels: Any = int(resize) if resize and resize.lstrip("-").isdecimal() else resize
    return Reading(
        mean=_triple("--mean", mean),
        std=_triple("--std", std),
        crop=crop,
        resize=pixels,
        interpolation=interpolation,
        skip_unreadable=skip_unreadable,
    )


def _triple(option: str, word: str | None) -> tuple[float, float, float] | None:
    if word is None:
        return None
    numbers = _numbers(word)
    if len(numbers) != 3:
        raise HqpError(f"{option} is '{word}'", "three numbers: of red, green and blue", f"{option} 0.5,0.5,0.5")
    red, green, blue = numbers
    return red, green, blue
