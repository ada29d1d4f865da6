"""The INT8 file of a candidate: of the calibrations that its recipe allows, the one that stays nearest to FP32."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax
from torch import Tensor

from hqp import documents, onnx_rules
from hqp.compress.job import Job, calibration_batches, calibration_count
from hqp.compress.quantisation import calibrate, checks, qdq, rounding
from hqp.errors import HqpError
from hqp.ledger import Ledger, Tally
from hqp.records import Calibrated, Calibration, Policy, Quantization

FILE, CHOICE = "model.onnx", "choice.json"

STEP = "calibration"

# The share of calibration images that may give NaN or infinity: beyond it the network is what is wrong.
MOST_LEFT_OUT = 0.01

# JSON has no infinity.
FARTHEST = sys.float_info.max

Array = npt.NDArray[np.float32]

# Gives, by layer, the Gram matrix of what each of these layers sees on calibration images, and counts those.
SeenBy = Callable[[Collection[str], Tally], Mapping[str, Tensor]]


@dataclass(frozen=True)
class CalibratedRanges:
    """The lowest and the highest value of each activation, by tensor, as each calibration has them.

    ``outliers`` says of which tensors a few values make the range so many times as wide as it is without them,
    ``mean_squares`` are of the values of each, and ``note`` says what was done where activations were not finite.
    """

    by_calibration: dict[Calibration, dict[str, tuple[float, float]]]
    outliers: dict[str, float]
    mean_squares: dict[str, float]
    note: str = ""


def ranged_by(plain: Path, policy: Policy) -> Policy:
    """The policy whose ranges a file is quantised by: of INT8 throughout, where that sees all that this one needs.

    So one pass over calibration images serves every choice of layers.
    """
    throughout = replace(policy, layers={}, floats="fp32")
    needed = set(qdq.tensors(plain, policy))
    return throughout if needed.issubset(qdq.tensors(plain, throughout)) else policy


def ranges(job: Job, how: Quantization, policy: Policy, plain: Path, ledger: Ledger) -> CalibratedRanges:
    """The ranges of an FP32 file by every allowed calibration: one pass over calibration images.

    Where an activation is NaN or infinite there is a second pass, over all of them, which leaves such images out, and
    ranges are by histograms alone.

    Raises:
        NotFinite: more than ``MOST_LEFT_OUT`` of all images are such.
    """
    images, calibrations, note = calibration_count(job, how.images), how.calibrations, ""
    with ledger.step(STEP) as tally:
        tally.images, tally.passes = images, 1
        try:
            seen = _seen(job, policy, plain, images)
        except calibrate.NotFinite:
            left_out: list[str] = []
            images = len(job.calibration)
            seen = _seen(job, policy, plain, images, left_out)
            if len(left_out) > MOST_LEFT_OUT * images:
                raise calibrate.NotFinite(f"{left_out[0]} on {len(left_out):,} of {images:,} images") from None
            tally.images, tally.passes = tally.images + images, 2
            calibrations = tuple(name for name in calibrations if name != "minmax") or ("percentile",)
            note = (
                f"{left_out[0]} gave NaN or infinity: {len(left_out):,} of {images:,} calibration images are left out,"
                f" and ranges are by {' or '.join(calibrations)}"
            )
        by_calibration = {name: calibrate.ranges(seen, name, policy) for name in calibrations}
    return CalibratedRanges(by_calibration, calibrate.outliers(seen), calibrate.mean_squares(seen), note)


def _seen(
    job: Job, policy: Policy, plain: Path, images: int, left_out: list[str] | None = None
) -> dict[str, calibrate.Distribution]:
    """What the first images of ``calibration`` give in each tensor."""

    def batches() -> Iterator[Array]:
        return (batch for _, batch in calibration_batches(job, images))

    with job.track(STEP, images) as advance:
        return calibrate.distributions(plain, batches, policy, advance, left_out)


def write_nearest(
    job: Job,
    how: Quantization,
    policy: Policy,
    plain: Path,
    calibrated: CalibratedRanges,
    seen_by: SeenBy,
    folder: Path,
    ledger: Ledger,
) -> None:
    """Writes the INT8 file of each calibration into the folder, and keeps the nearest to FP32 alone.

    Where nearest values are too coarse for the weights of some layers, it is written anew with those rounded in turn.
    """
    with ledger.step(STEP) as tally:
        files: dict[Calibration, Path] = {name: folder / f"{name}.onnx" for name in calibrated.by_calibration}
        for name, file in files.items():
            qdq.quantize(plain, file, calibrated.by_calibration[name], policy)
            onnx_rules.check(file, symmetric_only=policy.symmetric)
        # Of a single one there is nothing to compare.
        divergences = {}
        if len(files) > 1:
            divergences = _divergences(job, how, plain, files, bool(calibrated.note), tally)
        # Of equally near ones the first that the recipe names.
        nearest = min(files, key=lambda name: divergences.get(name, 0.0))
        files.pop(nearest).replace(folder / FILE)
        for file in files.values():
            file.unlink()
        ranges = calibrated.by_calibration[nearest]
        # What calibration has left out would make all that is seen NaN or infinite.
        coarse = {} if calibrated.note else rounding.coarse(plain, ranges, calibrated.mean_squares, policy)
        if coarse:
            rounded = folder / "rounded.onnx"
            grams = seen_by(coarse, tally)
            rounding.round_weights(plain, grams, policy, rounded)
            qdq.quantize(rounded, folder / FILE, ranges, policy)
            rounded.unlink()
            # What a module does not show, a very wide layer say, keeps its nearest values, and is not told otherwise.
            coarse = {layer: ratio for layer, ratio in coarse.items() if layer in grams}
        found = checks.findings(plain, ranges, calibrated.outliers, coarse, policy, nearest)
        documents.write(folder / CHOICE, Calibrated(nearest, divergences, findings=found, note=calibrated.note))


def _divergences(
    job: Job, how: Quantization, plain: Path, files: Mapping[Calibration, Path], left_out: bool, tally: Tally
) -> dict[Calibration, float]:
    """How far from FP32 each file is, in the device's runtime on calibration images."""
    images = calibration_count(job, min(how.compared, how.images))
    exact = job.outputs(plain, images)
    # What calibration has left out is not compared either; where that was nothing, all must be finite.
    compared = np.isfinite(exact).all(axis=1) if left_out else np.ones(len(exact), dtype=bool)
    divergences: dict[Calibration, float] = {}
    for name, file in files.items():
        divergences[name] = divergence(exact[compared], job.outputs(file, images)[compared])
    tally.passes = 1 + len(files)
    tally.images = images * tally.passes
    return divergences


def divergence(exact: Array, found: Array) -> float:
    """The mean of KL(exact‖found), in nats, of the class probabilities that two files give: logits, (n, classes).

    Raises:
        HqpError: the exact logits are not finite.
    """
    if not np.isfinite(exact).all():
        raise HqpError("the network gives NaN or infinity on calibration images", "finite weights and images")
    expected, given = (log_softmax(logits.astype(np.float64), axis=1) for logits in (exact, found))
    by_image = (np.exp(expected) * (expected - given)).sum(axis=1)
    return float(np.nan_to_num(by_image.mean(), nan=FARTHEST, posinf=FARTHEST))
