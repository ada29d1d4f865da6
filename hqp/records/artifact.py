"""What the steps that make an artefact say of it: costs, choices, a certificate, its layers."""

from __future__ import annotations

from dataclasses import dataclass

from hqp.records.canonical import Digest
from hqp.records.data import Accuracy
from hqp.records.method import VARIANTS, Calibration, Precision, Variant
from hqp.records.ranges import Count, Seconds, Share, Some, SumOfChances


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
class Finding:
    """What was found of a layer before it was quantised: the reason to look at it, and the remedy that was taken."""

    layer: str
    reason: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.layer}: {self.reason}; {self.remedy}"


@dataclass(frozen=True)
class Calibrated:
    """Which calibration an INT8 file has, and how far from FP32 the file of each allowed one is.

    ``divergences`` are mean KL divergences, in nats, of the class probabilities that the INT8 file gives for
    calibration images from those of FP32; there are none where the recipe allows one calibration only. A search
    compares them once, on the file after ``steps`` pruning steps, and all its files take the nearest.

    ``findings`` are of the file before it was quantised. ``note`` says what was done where activations were not finite.
    """

    calibration: Calibration
    divergences: dict[Calibration, float]
    steps: int | None = None
    findings: tuple[Finding, ...] = ()
    note: str = ""

    def __str__(self) -> str:
        more = f", and {len(self.findings) - 1} more findings" if len(self.findings) > 1 else ""
        found = f"; before INT8 {self.findings[0]}{more}" if self.findings else ""
        noted = f"; {self.note}" if self.note else ""
        return f"{self._chosen()}{noted}{found}"

    def _chosen(self) -> str:
        if not self.divergences:
            return f"INT8 calibrated by {self.calibration}"
        told = ", ".join(f"{name} {value:.3g}" for name, value in self.divergences.items())
        where = "" if self.steps is None else f" after {self.steps} pruning steps"
        return f"INT8 calibrated by {self.calibration}, the nearest to FP32{where} in nats: {told}"


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
    precision: Precision

    @property
    def pruned(self) -> float:
        """The share of its filters that is gone, to four digits: of any number below 5,000 it tells them exactly."""
        return round(1 - self.kept_channels / self.channels, 4)

    @property
    def why(self) -> str:
        """What pruning did to it, for a reader; empty where that is nothing."""
        gone = self.channels - self.kept_channels
        if not gone:
            return ""
        told = f"{gone} of {self.channels} filters are gone"
        if not self.sensitivity or not self.kept_sensitivity:
            return told
        return f"{told}, the mean S of the others is {self.kept_sensitivity / self.sensitivity:.2f} times that of all"


@dataclass(frozen=True)
class Exported:
    """An artefact in another format, in the folder of its ``name``, and how it agrees with ``model.onnx``.

    ``files`` are those of the folder, but the sidecar. On so many ``images`` of ``selection``, ``agreement`` is the
    share that has one top-1 in both, and ``cosine`` the mean cosine of their logits; both are ``None`` where the
    format's runtime is not on the platform on which it was written, and no image was compared.
    """

    name: str
    files: dict[str, Digest]
    images: Count
    agreement: Share | None
    cosine: float | None


# How often all certificates of a checkpoint by the same images may be wrong together, as often as one of them alone.
LEVEL = 0.05


@dataclass(frozen=True)
class Certificate:
    """What ``images`` of ``test`` say of the file that is shipped, in absolute points of top-1.

    ``certified``: with probability at least 1 - ``alpha`` the drop is within Δmax. Nothing else is certified: these
    images picked the file from ``candidates``, so ``upper_pp``, the one-sided limit of ``drop_pp`` at that level, may
    flatter. Where it is above Δmax, ``images_needed`` is about how many images would certify the file, if any number
    would. It is the ``use``-th certification of the checkpoint by these images, as far as the store knows, and those
    before it spent ``spent_before`` of the level in all.
    """

    alpha: float
    delta_max_pp: float
    certified: bool
    drop_pp: float
    upper_pp: float
    images: int
    images_needed: int | None
    candidates: int
    use: Some = 1
    spent_before: SumOfChances = 0.0

    def __str__(self) -> str:
        measured = f"measured {self.drop_pp:.2f}, limit {self.upper_pp:.2f}"
        images = f"by {self.images:,} images of 'test'{self._again()}"
        if self.certified:
            promise = f"with probability {1 - self.alpha:.0%} the drop is within {self.delta_max_pp:.2f} pp"
            picked = " (not corrected for the choice of the step)" if self.candidates > 1 else ""
            return f"certified: {promise}; {measured}{picked}, {images}"
        more = f"about {self.images_needed:,} images would" if self.images_needed else "more images would hardly"
        return f"not certified: {measured}, {images}; {more} show the drop to be within {self.delta_max_pp:.2f} pp"

    def _again(self) -> str:
        """That these images certified before, and what is left of the level."""
        if self.use == 1:
            return ""
        spent = self.spent_before + self.alpha
        # Sums of decimals: what is below a thousandth of a percent is nothing.
        left = round(LEVEL - spent, 5)
        rest = f"{left:.2%} is left" if left > 0 else "nothing is left; --alpha spends less each time"
        return (
            f", use {self.use} of them for this checkpoint: all are right together with probability"
            f" {max(0.0, 1 - spent):.0%} at least, and of a level of {LEVEL:.0%} {rest}"
        )
