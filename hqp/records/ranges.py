"""The ranges that numbers of records lie in; a document in which one does not is damaged."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

# A network that halves its image three times still sees a pixel; one image of the other takes 200 MB as float32.
SMALLEST_INPUT, LARGEST_INPUT = 8, 4096

Pixels = Annotated[int, Field(ge=SMALLEST_INPUT, le=LARGEST_INPUT)]
"""The height and width of a network's input."""

Count = Annotated[int, Field(ge=0)]
"""How many there are, none perhaps."""

Some = Annotated[int, Field(ge=1)]
"""How many there are, one at least."""

Share = Annotated[float, Field(ge=0, le=1)]
"""A part of a whole."""

Ratio = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""How many times as large."""

SumOfChances = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""A sum of probabilities, which bounds that of any of them, and may exceed 1."""

Points = Annotated[float, Field(gt=0, le=100)]
"""A bound in absolute points of top-1."""

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""A duration."""

Deviation = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""A standard deviation of images, by which they are divided."""
