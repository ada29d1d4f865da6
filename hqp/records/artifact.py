"""An artefact: what it is, what made it, and what that cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hqp.records.canonical import Digest
from hqp.records.data import Accuracy
from hqp.records.method import VARIANTS, Calibration, LayerPrecision, Policy, Recipe, Targets, Variant
from hqp.records.ranges import Count, Deviation, Pixels, Points, Ratio, Seconds, Share, Some
from hqp.records.reading import Reading


@dataclass(frozen=True)
class Cost:
    """What one step took. ``images`` counts images seen over all ``passes`` of it."""

    step: str
    images: Count
    passes: Count
    seconds: Seconds


@dataclass(frozen=True)
class Judged:
    """The accuracy of a file, and what the pass that found it took."""

    accuracy: Accuracy
    cost: Cost


@dataclass(frozen=True)
class Calibrated:
    """Which calibration an INT8 file has, and how far from FP32 the file of each allowed one is.

    ``divergences`` are mean KL divergences, in nats, of the class probabilities that the INT8 file gives for
    calibration images from those of FP32; there are none where the recipe allows one calibration only.
    """

    calibration: Calibration
    divergences: dict[Calibration, float]

    def __str__(self) -> str:
        if not self.divergences:
            return f"INT8 calibrated by {self.calibration}"
        told = ", ".join(f"{name} {value:.3g}" for name, value in self.divergences.items())
        return f"INT8 calibrated by {self.calibration}, the nearest to FP32 in nats: {told}"


@dataclass(frozen=True)
class Recovered:
    """Which variant of recovery a pruned model has, and how far from the trained one each allowed variant is.

    ``divergences`` are mean KL divergences, in nats, of the class probabilities on calibration images from those of the
    trained model; there are none where the recipe allows one variant only.
    """

    variant: Variant
    divergences: dict[Variant, float]

    def __str__(self) -> str:
        told = ", ".join(f"{name} {value:.3g}" for name, value in self.divergences.items())
        nearest = f", the nearest to the trained model in nats: {told}" if told else ""
        return f"recovered by {VARIANTS[self.variant]}{nearest}"


@dataclass(frozen=True)
class LayerRecord:
    """One layer before and after compression.

    ``sensitivity`` is the mean S of its filters, ``weight_range`` is R = max - min of its weights and ``weight_step``
    is s = R / (2^b - 1) with b = 8; the ``kept_`` values are those of the filters that remain. ``precision`` is that of
    the layer in the file that is shipped.
    """

    layer: str
    channels: int
    kept_channels: int
    sensitivity: float | None
    kept_sensitivity: float | None
    weight_range: float
    kept_weight_range: float
    weight_step: float
    kept_weight_step: float
    precision: LayerPrecision


@dataclass(frozen=True)
class Certificate:
    """What ``images`` of ``test`` say of the file that is shipped, in absolute points of top-1.

    ``certified``: with probability at least 1 - ``alpha`` the drop is within Δmax. Nothing else is certified: these
    images picked the file from ``candidates``, so ``upper_pp``, the one-sided limit of ``drop_pp`` at that level, may
    flatter. Where it is above Δmax, ``images_needed`` is about how many images would certify the file, if any number
    would.
    """

    alpha: float
    delta_max_pp: float
    certified: bool
    drop_pp: float
    upper_pp: float
    images: int
    images_needed: int | None
    candidates: int

    def __str__(self) -> str:
        measured = f"measured {self.drop_pp:.2f}, limit {self.upper_pp:.2f}"
        images = f"by {self.images:,} images of 'test'"
        if self.certified:
            promise = f"with probability {1 - self.alpha:.0%} the drop is within {self.delta_max_pp:.2f} pp"
            picked = " (not corrected for the choice of the step)" if self.candidates > 1 else ""
            return f"certified: {promise}; {measured}{picked}, {images}"
        more = f"about {self.images_needed:,} images would" if self.images_needed else "more images would hardly"
        return f"not certified: {measured}, {images}; {more} show the drop to be within {self.delta_max_pp:.2f} pp"


@dataclass(frozen=True)
class Sidecar:
    """The contents of ``hqp.json``: what an artefact is and what made it.

    ``sparsity`` is θ, the share of all filters removed, and ``inner_sparsity`` that of the ``inner_filters``, which no
    residual sum ties together; ``None`` where nothing was to be pruned or there are none. ``compression_ratio`` is
    bytes of the FP32 file over bytes of this one. ``ranking`` says which ranking was kept. ``accepted_steps`` are
    the pruning steps that ``selection`` accepts, ``shipped_steps`` those of the file: fewer where verification or the
    certificate gave some back, more where the certificate went beyond. ``source`` builds the model that ``model``
    names. ``split_digests`` name the images of each split that was used, of ``test`` those that certified, and
    ``skipped_images`` those of them which could not be read. ``notes`` are sentences that the user should know: that
    the file breaks the bound, or why nothing was removed. ``qat_cost`` estimates what quantisation-aware training would
    take.
    """

    SCHEMA: ClassVar[int] = 2

    schema_version: int
    hqp_version: str
    model: str
    source: str
    dataset: str
    reading: Reading
    split_digests: dict[str, Digest]
    skipped_images: tuple[str, ...]
    method: str
    recipe: Recipe
    seed: Count
    input_size: Pixels
    num_classes: Some
    mean: tuple[float, float, float]
    std: tuple[Deviation, Deviation, Deviation]
    delta_max_pp: Points
    targets: Targets
    checkpoint_sha256: Digest
    model_sha256: Digest
    model_bytes: Some
    fp32_bytes: Some
    compression_ratio: Ratio
    parameters: Count
    fp32_parameters: Count
    macs: Count
    fp32_macs: Count
    filters: Count
    kept_filters: Count
    sparsity: Share
    inner_filters: Count
    inner_sparsity: Share | None
    ranking: str | None
    accepted_steps: Count
    shipped_steps: Count
    policy: Policy | None
    calibrated: Calibrated | None
    baseline: Accuracy
    pruned: Accuracy | None
    compressed: Accuracy | None
    recovered: Recovered | None
    certificate: Certificate | None
    notes: tuple[str, ...]
    verified_in: str
    versions: dict[str, str]
    costs: tuple[Cost, ...]
    qat_cost: Cost | None

    @property
    def seconds(self) -> float:
        """What all steps took."""
        return sum(cost.seconds for cost in self.costs)

    @property
    def share_of_qat(self) -> float | None:
        """The seconds over those of quantisation-aware training, where these were estimated."""
        return self.seconds / self.qat_cost.seconds if self.qat_cost else None


@dataclass(frozen=True)
class Artifact:
    """A directory with ``model.onnx``, its sidecar ``hqp.json`` and the per-layer record ``layers.json``."""

    path: str
    sidecar: Sidecar
