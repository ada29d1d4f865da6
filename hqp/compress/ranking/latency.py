"""What a layer takes of a device's time, for any number of filters and inputs: fitted to whole networks timed on it.

A layer's time grows with its multiply-adds, with its weights, which are fetched once an image, and with what it writes.
Kernels work on blocks of channels, so that channels count in whole blocks: time is a flight of stairs. How much each of
these costs, and how large blocks are, is what fits best the times of networks whose groups have random widths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls
from torch import Tensor, nn

from hqp.compress.network.layers import layers
from hqp.compress.ranking.greedy import Size
from hqp.compress.ranking.work import inputs_of, output_positions

# Channels in blocks of so many are tried.
BLOCKS = (1, 8, 16, 32)

# Of the multiply-adds, the weights and the results, and of calling a layer at all.
FEATURES = 4

KINDS = ("spatial", "pointwise", "grouped")


@dataclass(frozen=True)
class Layout:
    """What of a layer does not change when channels go: ``own_inputs`` are those of a filter of a grouped layer."""

    filters: int
    inputs: int
    kind: str
    positions: int
    kernel: int
    own_inputs: int | None

    def features(self, filters: int, inputs: int, block: int) -> list[float]:
        """What the time of a layer with so many filters and inputs grows with."""
        outputs = _rounded(filters, block)
        seen = _rounded(inputs, block) if self.own_inputs is None else self.own_inputs
        weights = outputs * seen * self.kernel
        return [float(self.positions * weights), float(weights), float(self.positions * outputs), 1.0]


def layouts(model: nn.Module, example: Tensor) -> dict[str, Layout]:
    """The layers that a forward pass calls, by name."""
    positions, found = output_positions(model, example), {}
    for name, layer in layers(model).items():
        if name not in positions:
            continue
        kernel, inputs = layer.weight[0, 0].numel(), inputs_of(layer)
        grouped = layer.weight.shape[1] != inputs
        kind = "grouped" if grouped else "spatial" if kernel > 1 else "pointwise"
        own_inputs = layer.weight.shape[1] if grouped else None
        found[name] = Layout(len(layer.weight), inputs, kind, positions[name], kernel, own_inputs)
    return found


@dataclass(frozen=True)
class LatencyModel:
    """Microseconds of each feature, by the kind of layer, and how many channels kernels take at once.

    ``error`` is the mean relative error on the networks that it was fitted to.
    """

    us: dict[str, tuple[float, ...]]
    block: int
    error: float


class Times:
    """The microseconds of layers by a model of latency, as ``greedy`` asks for them."""

    def __init__(self, known: Mapping[str, Layout], model: LatencyModel) -> None:
        self._known, self._model = known, model
        self.sizes: Mapping[str, Size] = {name: (one.filters, one.inputs) for name, one in known.items()}
        self.blocks = () if model.block == 1 else (model.block, 2 * model.block)

    def of(self, layer: str, filters: int, inputs: int) -> float:
        """The microseconds of a layer with so many filters and inputs."""
        known = self._known[layer]
        features = known.features(filters, inputs, self._model.block)
        return sum(us * value for us, value in zip(self._model.us[known.kind], features, strict=True))


# The filters and inputs that each layer of a network has left, and the microseconds that the network takes.
Timed = tuple[Mapping[str, Size], float]


def fit(known: Mapping[str, Layout], timed: Sequence[Timed]) -> LatencyModel:
    """The model that is nearest to the times of networks, relatively, of all blocks that are tried."""
    return min((_fit(known, timed, block) for block in BLOCKS), key=lambda model: model.error)


def _fit(known: Mapping[str, Layout], timed: Sequence[Timed], block: int) -> LatencyModel:
    rows = np.array([_row(known, sizes, block) for sizes, _ in timed])
    us = np.array([us for _, us in timed])
    # Relative errors count alike, and columns of like size make the system well conditioned.
    relative = rows / us[:, None]
    scale = np.where(relative.any(0), relative.max(0), 1.0)
    solved, _ = nnls(relative / scale, np.ones(len(us)))
    found = solved / scale
    by_kind = found.reshape(len(KINDS), FEATURES)
    error = float(np.abs(relative @ found - 1).mean())
    return LatencyModel({kind: tuple(map(float, row)) for kind, row in zip(KINDS, by_kind, strict=True)}, block, error)


def _row(known: Mapping[str, Layout], sizes: Mapping[str, Size], block: int) -> list[float]:
    """The features of a network, summed over its layers, by kind."""
    sums = {kind: np.zeros(FEATURES) for kind in KINDS}
    for name, layout in known.items():
        sums[layout.kind] += layout.features(*sizes[name], block)
    return [float(value) for kind in KINDS for value in sums[kind]]


def _rounded(channels: int, block: int) -> int:
    return -(-channels // block) * block
