"""Which layers of a quantised file are INT8 and which stay in float, and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from hqp.records.estimate import Estimate
from hqp.records.method import LayerPrecision, Policy
from hqp.records.ranges import Share


@dataclass(frozen=True)
class LayerChoice:
    """Why a layer of a quantised file is INT8 or stays in float: the ms that it takes in either on the device.

    They are by the runtime's profiler, with what it puts around the layer, in files of one precision.
    """

    layer: str
    precision: LayerPrecision
    int8_ms: float
    float_ms: float

    def __str__(self) -> str:
        return f"{1000 * self.int8_ms:.1f} us in INT8, {1000 * self.float_ms:.1f} us in float"


@dataclass(frozen=True)
class Precisions:
    """Which layers of a quantised file stay in float, by what the device measures.

    ``kept``: the file whose layers have the precisions of ``layers`` is shipped, since it is surely faster than the one
    that is INT8 throughout: ``speedup`` times as fast, timed in turn. It was not timed where hardly any time was to be
    won by the layers, and there are no ``layers`` where the device tells no times.
    """

    policy: Policy
    layers: tuple[LayerChoice, ...]
    kept: bool
    speedup: Estimate | None

    def __str__(self) -> str:
        if self.speedup is None:
            return "INT8 throughout: too little was to be won by layers in float"
        in_float = sum(choice.precision == "float" for choice in self.layers)
        beside = f"{self.speedup.value:.2f} times as fast ({self.speedup.lower:.2f} to {self.speedup.upper:.2f})"
        if self.kept:
            layers = f"{in_float} of {len(self.layers)} layers in {self.policy.floats.upper()}"
            return f"{layers}: {beside} as INT8 throughout"
        return f"INT8 throughout: with {in_float} of {len(self.layers)} layers in float it is {beside}"


@dataclass(frozen=True)
class PolicyFile:
    """What becomes of each layer of a network, as a file that can be read, edited and used again.

    ``layers`` names layers or patterns of them; what it does not name is INT8. What stays in float is computed in
    ``floats``. ``pruned`` is the share of a layer's filters that is gone, and where the file is used again may go at
    most; what it does not name has no limit. ``why`` says of layers why they are as they are, for a reader.
    """

    schema_version: int
    layers: dict[str, LayerPrecision]
    floats: Literal["fp32", "bf16"] = "fp32"
    pruned: dict[str, Share] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)
