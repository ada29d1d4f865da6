"""What a method does to a model."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal

from hqp.records.ranges import Share

Option = str | bool | int | float
# ``kl`` is what other tools name entropy.
Calibration = Literal["kl", "percentile", "mse", "minmax"]
Precision = Literal["fp32", "fp16", "bf16", "int8"]
# What a policy may ask of a layer in a file that is INT8 otherwise.
LayerPrecision = Literal["float", "int8"]
# In what a file computes where it is not quantised.
Floats = Literal["fp32", "fp16", "bf16"]
# What the best of several candidates has least of, of θ most; named as the targets are.
Objective = Literal["latency_ms", "energy_mj", "bytes", "macs", "sparsity"]
# What the removal of a channel saves, against which its loss may be weighed: multiply-adds, or microseconds.
Saved = Literal["mac", "us"]
SAVED: tuple[Saved, ...] = ("mac", "us")


def names_layer(pattern: str, layer: str) -> bool:
    """Whether a name or a pattern, ``layer4.*`` say, is that of a layer."""
    return pattern == layer or fnmatch.fnmatchcase(layer, pattern)


def nearest_name(patterns: Collection[str], layer: str) -> str | None:
    """Of the names and patterns that are a layer's its own name, else the longest; ``None`` where none is."""
    matching = [pattern for pattern in patterns if names_layer(pattern, layer)]
    # Digests know no order of a mapping, so that none may count here.
    return max(matching, key=lambda pattern: (pattern == layer, len(pattern), pattern), default=None)


@dataclass(frozen=True)
class Ranking:
    """A criterion and the keyword options of its ``score``, e.g. ``Ranking("magnitude", norm="l2")``."""

    criterion: str
    options: tuple[tuple[str, Option], ...]

    def __init__(self, criterion: str, options: tuple[tuple[str, Option], ...] = (), **named: Option) -> None:
        object.__setattr__(self, "criterion", criterion)
        object.__setattr__(self, "options", tuple(tuple(pair) for pair in options) + tuple(sorted(named.items())))

    @property
    def saves(self) -> Saved | None:
        """What a channel's loss is weighed against: the option ``per``, where it names what removal saves."""
        per = dict(self.options).get("per")
        return next((saved for saved in SAVED if saved == per), None)

    def __str__(self) -> str:
        options = ", ".join(f"{key}={value}" for key, value in self.options)
        return f"{self.criterion}({options})" if options else self.criterion


Variant = Literal["none", "least_squares", "relative", "absolute", "sequential"]

# What each variant of recovery does.
VARIANTS: dict[Variant, str] = {
    "none": "leaving what stays as it is",
    "least_squares": "least squares",
    "relative": "least squares, batch norms moved by what removal changes",
    "absolute": "least squares, batch norms taken anew",
    "sequential": "least squares, layer by layer on what the layers before hand on",
}


@dataclass(frozen=True)
class Recovery:
    """What is done for a pruned model before it is judged, without labels, on the first ``images`` of ``calibration``.

    ``least_squares`` fits layers that lost inputs anew to what the trained model's layers gave. ``relative`` then moves
    the statistics of batch norms by what removal changes of them, ``absolute`` takes them anew. ``sequential`` fits all
    layers, one after the other, on what the pruned model itself hands them. Of several ``variants`` the one is taken
    whose logits stay nearest to the trained model's on the first ``compared`` of the images, of equally near ones the
    first: where calibration images are not as training images were, a fit may lose more than removal does.
    """

    variants: tuple[Variant, ...] = ("none", "sequential")
    images: int = 512
    compared: int = 96


@dataclass(frozen=True)
class FineTuning:
    """Training of a pruned model on ``train``, as its own recipe has it, at this share of the learning rate.

    ``teacher`` is the share of the loss that asks for the trained model's outputs (distillation), 0 to 1; the rest asks
    for the labels.
    """

    epochs: int = 2
    learning_rate: float = 0.1
    teacher: float = 0.0


@dataclass(frozen=True)
class Rounds:
    """Pruning with training, from where the search ended.

    A round ranks anew what is left, removes ``share`` of all filters, recovers, trains, and is judged. One that breaks
    the bound is undone, and from then on a round removes ``retry``; the next that breaks it, or the number ``most``,
    ends.
    """

    share: float = 0.05
    retry: float = 0.02
    most: int | None = None
    fine_tuning: FineTuning = FineTuning()


@dataclass(frozen=True)
class Pruning:
    """How channels are removed under the bound.

    Of several ``rankings`` each is run and the one is kept that is best by the recipe's objective. ``step_fraction`` is
    δ, the share of all filters removed between two checks of the bound. ``search`` walks the ranked list: ``linear`` is
    Algorithm 1; ``galloping`` doubles the step until the bound breaks, then bisects; ``none`` leaves all to ``rounds``,
    which go on where it ended. The bound is judged by the upper limit of the drop, the end of its two-sided interval at
    ``confidence``; where that is ``None`` by the drop itself, as the paper does.

    The default is one-sided 99.9%: what is picked for being deep flatters, and 5,000 images leave ±0.25 points. A
    recipe with a certificate asks for less; see ``Recipe.confidence``.

    Sensitivities are measured on the first ``images`` of ``calibration``, on all where it is ``None``. Layers whose
    names match a pattern of ``keep``, ``layer4.*`` say, lose no filter, and those that ``at_most`` names, a pattern
    likewise, no more than that share of them. ``recovery`` is done for each candidate before the bound judges it.
    ``blocks``: something simpler stands in for some gates and residual blocks before channels go; where behind them
    none can go, each ranking is also run on the network that has them all.
    """

    rankings: tuple[Ranking, ...]
    step_fraction: float = 0.01
    search: Literal["linear", "galloping", "none"] = "galloping"
    confidence: float | None = 0.998
    keep: tuple[str, ...] = ()
    at_most: dict[str, Share] = field(default_factory=dict)
    recovery: Recovery | None = None
    rounds: Rounds | None = None
    images: int | None = None
    blocks: bool = False


@dataclass(frozen=True)
class Quantization:
    """Static INT8: weights per channel and symmetric, activations per tensor over calibrated ranges.

    The ranges are of the first ``images`` of ``calibration``. Of several ``calibrations`` the one is taken whose file
    stays nearest to FP32 on the first ``compared`` of them, of equally near ones the first. ``by_layer``: layers that
    INT8 makes no faster on the device stay in float, where that file as a whole measures faster.
    """

    calibrations: tuple[Calibration, ...] = ("kl", "percentile", "mse", "minmax")
    images: int = 512
    compared: int = 256
    by_layer: bool = False


@dataclass(frozen=True)
class Recipe:
    """What a method does to a model: what is pruned by which criterion, what is quantised, what is verified.

    ``precision`` is the type of all that is shipped where nothing is quantised. ``objective`` tells which of several
    candidates within the bound is best: the one whose file measures fastest on the device, or takes the least energy,
    or is smallest, or has the fewest multiply-adds, or the most filters removed.
    ``give_back``: where the exported file breaks the bound that pruning kept, steps are given back until it holds.
    ``beside_dense``: a dense network, in whatever precision the device runs, is shipped where it is surely faster than
    what pruning found and holds the bound.
    ``alpha``: the file is certified on ``test``, with that chance at most of a drop above Δmax. ``instead_of`` is the
    precision that the method asks for, where the device lacks it.
    """

    pruning: Pruning | None = None
    quantization: Quantization | None = None
    precision: Floats = "fp32"
    objective: Objective = "latency_ms"
    give_back: bool = False
    beside_dense: bool = False
    alpha: float | None = None
    instead_of: Precision | None = None

    @property
    def confidence(self) -> float | None:
        """At which confidence what is pruned must keep the bound on ``selection``.

        Where it is certified next, at that of the certificate: it is tested again, on other images, and what
        ``selection`` leaves in doubt is for them to decide.
        """
        confidence = self.pruning.confidence if self.pruning else None
        if confidence is None or self.alpha is None:
            return confidence
        # The end of a two-sided interval at 1 - 2α is the one-sided limit at 1 - α.
        return min(confidence, 1 - 2 * self.alpha)

    @property
    def asks_for(self) -> Precision:
        """The precision that a device must have for it."""
        return "int8" if self.quantization else self.precision

    @property
    def replaced(self) -> str:
        """What stands in the place of the method's precision, ``FP16 for INT8``; empty where nothing does."""
        return f"{self.asks_for.upper()} for {self.instead_of.upper()}" if self.instead_of else ""


@dataclass(frozen=True)
class Targets:
    """What is to be reached beside the bound: at most so many ms, bytes and multiply-adds, at least that θ (0 to 1)."""

    latency_ms: float | None = None
    bytes: float | None = None
    macs: float | None = None
    sparsity: float | None = None

    def asked(self) -> dict[str, float]:
        """The targets that were set, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class Policy:
    """How a device wants its INT8: the activation type and whether it is symmetric.

    ``symmetric``: what TensorRT takes: zero points that are there and all 0, which wants signed activations; biases in
    float; scales that FP16 holds exactly; and of a residual sum the convolution's side in float, the other quantised.

    ``float_results``: the runtime carries a convolution's result in float into what it fuses behind it, so that only
    what goes into a convolution is quantised (OpenVINO, TensorRT). onnxruntime runs a convolution in INT8 only where
    its result is quantised too. Pruning leaves channels in multiples of ``channel_multiple``, where kernels want that;
    a group of fewer than two such blocks loses any number.

    ``layers`` says which precision layers have, by their names or by patterns of them, ``layer4.*`` say; of several
    that match a layer its own name counts, else the longest. All others are INT8. What stays in float, be it a layer
    or an activation function, is computed in ``floats``. Weights of 7 bits lie in -64 to 64; ``saturates_without``
    names the x86 instructions without which kernels add two products of 8 bits in 16, where they saturate.
    """

    activations: Literal["uint8", "int8"] = "uint8"
    symmetric: bool = False
    float_results: bool = False
    channel_multiple: int = 1
    weight_bits: Literal[7, 8] = 8
    saturates_without: str = ""
    layers: dict[str, LayerPrecision] = field(default_factory=dict)
    floats: Literal["fp32", "bf16"] = "fp32"

    def precision_of(self, layer: str) -> Precision:
        """The precision of a layer of a quantised file."""
        return "int8" if self.asks_of(layer) == "int8" else self.floats

    def asks_of(self, layer: str) -> LayerPrecision:
        """Whether a layer of a quantised file is INT8 or stays in float."""
        named = nearest_name(self.layers, layer)
        return "int8" if named is None else self.layers[named]
