"""What criteria score and pruning removes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from hqp.records.ranges import Some

BlockKind = Literal["gate", "residual"]


@dataclass(frozen=True)
class Member:
    """One layer's part in a dependency group.

    ``channels[k]`` lists the layer's channels that go when the group's channel k goes. ``role`` is ``filter`` for
    output channels of a convolution or linear layer, ``norm`` for a normalisation's, ``input`` for a consumer's inputs.
    """

    layer: str
    role: Literal["filter", "norm", "input"]
    channels: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Group:
    """Channels that can only be removed together; ``channels`` is how many the group has.

    ``summed``: they are those of a sum of layers' outputs, as residual blocks end in.
    """

    name: str
    channels: int
    members: tuple[Member, ...]
    summed: bool = False

    def filters(self, channel: int) -> int:
        """The number of filters, over all layers, that go with one channel of the group."""
        return sum(len(member.channels[channel]) for member in self.members if member.role == "filter")


# What each kind of block becomes.
BECOMES: dict[BlockKind, str] = {"gate": "its mean gate", "residual": "its shortcut"}


@dataclass(frozen=True)
class Replaced:
    """A module in whose place something simpler stands: a gate, or a residual block, of so many channels."""

    name: str
    kind: BlockKind
    channels: Some


@dataclass(frozen=True)
class Simplified:
    """A block of the trained network that became something simpler, and why it was taken before others.

    ``divergence`` is what that alone costs: the mean KL divergence, in nats, of the class probabilities on calibration
    images from the trained model's. ``saved_us`` is about what it saves of an image's time.
    """

    block: Replaced
    divergence: float
    saved_us: float

    def __str__(self) -> str:
        name = f"{self.block.name} became {BECOMES[self.block.kind]}"
        # Never as 1.3e+02.
        saved_us = f"{self.saved_us:.0f}" if self.saved_us >= 10 else f"{self.saved_us:.2g}"
        return f"{name} ({self.divergence:.2g} nats for {saved_us} µs)"


@dataclass(frozen=True, eq=False)
class Statistics:
    """What criteria score by, each by layer name.

    ``weights`` are (C, d) and ``gammas``, the batch-norm scales, (C,); so are the measured sensitivities ``fisher`` and
    ``fisher_obd``. ``order`` is by group: its channels, those first that a refit misses least.
    """

    weights: Mapping[str, npt.NDArray[np.float64]]
    gammas: Mapping[str, npt.NDArray[np.float64]]
    fisher: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    fisher_obd: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    order: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
