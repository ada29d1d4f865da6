"""The INT8 file of a candidate: of the calibrations that its recipe allows, the one that stays nearest to FP32."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.special import log_softmax
from torch import Tensor

from hqp import documents, onnx_rules
from hqp.compress.job import Job, calibration_batches, calibration_count
from hqp.compress.quantisation import calibrate, checks, qdq, rounding, thresholds
from hqp.compress.quantisation.distribution import Array, Distribution, NotFinite
from hqp.errors import HqpError
from hqp.ledger import Ledger, Tally
from hqp.records import Calibrated, Calibration, Policy, Quantization

FILE, CHOICE = "model.onnx", "choice.json"

STEP = "calibration"

# The share of calibration images that may give NaN or infinity: beyond it the network is what is wrong.
MOST_LEFT_OUT = 0.01

# JSON has no infinity.
FARTHEST = sys.float_info.max

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
    calibrations, note = how.calibrations, ""
    with ledger.step(STEP) as tally:
        try:
            seen = _seen(job, policy, plain, calibration_count(job, how.images), tally)
        except NotFinite:
            left_out: list[str] = []
            seen = _seen(job, policy, plain, len(job.calibration), tally, left_out)
            wrong = f"{len(left_out):,} of {len(job.calibration):,}"
            if len(left_out) > MOST_LEFT_OUT * len(job.calibration):
                raise NotFinite(f"{left_out[0]} on {wrong} images") from None
            calibrations = tuple(name for name in calibrations if name != "minmax") or ("percentile",)
            note = (
                f"{left_out[0]} gave NaN or infinity: {wrong} calibration images are left out,"
                f" and ranges are by {' or '.join(calibrations)}"
            )
        by_calibration = {name: thresholds.ranges(seen, name, policy) for name in calibrations}
        mean_squares = {name: distribution.mean_square for name, distribution in seen.items()}
    return CalibratedRanges(by_calibration, thresholds.outliers(seen), mean_squares, note)


def _seen(
    job: Job, policy: Policy, plain: Path, images: int, tally: Tally, left_out: list[str] | None = None
) -> dict[str, Distribution]:
    """What the first images of ``calibration`` give in each tensor."""

    def batches() -> Iterator[Array]:
        return (batch for _, batch in calibration_batches(job, images))

    tally.images, tally.passes = tally.images + images, tally.passes + 1
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
        files = _written(plain, policy, calibrated, folder)
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
            grams = seen_by(coarse, tally)
            _write_rounded(plain, grams, ranges, policy, folder)
            # What a module does not show, a very wide layer say, keeps its nearest values, and is not told otherwise.
            coarse = {layer: ratio for layer, ratio in coarse.items() if layer in grams}
        findings = checks.findings(plain, ranges, calibrated.outliers, coarse, policy, nearest)
        documents.write(folder / CHOICE, Calibrated(nearest, divergences, findings=findings, note=calibrated.note))


def _written(plain: Path, policy: Policy, calibrated: CalibratedRanges, folder: Path) -> dict[Calibration, Path]:
    """The INT8 file of each calibration, which the lint passes."""
    files: dict[Calibration, Path] = {}
    for name, ranges in calibrated.by_calibration.items():
        files[name] = folder / f"{name}.onnx"
        qdq.quantize(plain, files[name], ranges, policy)
        onnx_rules.check(files[name], symmetric_only=policy.symmetric)
    return files


def _write_rounded(plain: Path, grams: Mapping[str, Tensor], ranges: qdq.Ranges, policy: Policy, folder: Path) -> None:
    """Writes the file anew, with the weights of these layers rounded in turn."""
    rounded = folder / "rounded.onnx"
    rounding.round_weights(plain, grams, policy, rounded)
    qdq.quantize(rounded, folder / FILE, ranges, policy)
    rounded.unlink()


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
