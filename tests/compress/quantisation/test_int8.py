"""Of the calibrations that a recipe allows, the one is shipped whose file stays nearest to FP32."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hqp.compress.channels import recover
from hqp.compress.quantisation import calibrate, int8, rounding, thresholds
from hqp.compress.quantisation.qdq import quantize
from hqp.compress.search.candidate import Candidate, Quantised
from hqp.compress.search.candidates import Candidates
from hqp.errors import HqpError
from hqp.records import Policy, Quantization, Recipe, Samples
from hqp.store import Store

torch.set_num_threads(1)

SIZE, IMAGES = 4, 300


class Squared(nn.Module):
    """Logits of the squares of the pixels, which go up to 65,025 where most are below 400."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.head = nn.Linear(3 * SIZE * SIZE, 2, bias=False)
        self.head.weight = nn.Parameter(weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.head((x * x).flatten(1))


class Kept(nn.Module):
    """Two logits of hidden values between 0 and 1, of which the first alone counts and never comes near zero."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.hidden, self.head = nn.Linear(3 * SIZE * SIZE, hidden), nn.Linear(hidden, 2)
        with torch.no_grad():
            self.hidden.weight[0] = 0.5 / self.hidden.in_features
            self.hidden.bias[0] = -0.5 * 9.5  # half the mean of dim pixels
            self.head.weight[:] = 0
            self.head.weight[0, 0] = 1
            self.head.bias[:] = torch.tensor([0, 0.5])

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.hidden(x.flatten(1)).sigmoid())
        return logits


def pixels() -> npt.NDArray[np.uint8]:
    """Dim images, of which the first has one bright pixel."""
    images = np.random.default_rng(0).integers(0, 20, (IMAGES, SIZE, SIZE, 3), np.uint8)
    images[:, 0, 0, 0] = 0
    images[0, 0, 0, 0] = 255
    return images


def every_pixel() -> Tensor:
    """Weights with which all pixels count."""
    return torch.randn(2, 3 * SIZE * SIZE, generator=torch.Generator().manual_seed(0)) / 500


def bright_pixel() -> Tensor:
    """Weights with which the bright pixel alone counts."""
    weight = torch.zeros(2, 3 * SIZE * SIZE)
    weight[0, 0] = 1e-4
    return weight


def logits(file: Path, images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"input": image[None]})[0] for image in images])


@contextmanager
def quiet(step: str, total: int) -> Iterator[Callable[[int], None]]:
    yield lambda units: None


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A job whose weights take their nearest values."""
    monkeypatch.setattr(rounding, "LEAST_RATIO", np.inf)
    images, scale = pixels(), (1 / 255,) * 3  # which undoes the scaling to 0..1
    samples = Samples(
        "x", "calibration", np.zeros(IMAGES, np.int64), ("a", "b"), (0, 0, 0), scale, "d" * 64,
        lambda indices, size: images[list(indices)],
    )  # fmt: skip
    asked: list[str] = []

    def outputs(file: Path, count: int) -> npt.NDArray[np.float32]:
        asked.append(file.name)
        return logits(file, samples.normalised(samples.read(range(count), SIZE)))

    return SimpleNamespace(
        policy=Policy(), input_size=SIZE, calibration=samples, device="here", outputs=outputs, asked=asked,
        store=Store(tmp_path / "store"), track=quiet, key={}, recipe=Recipe(), warn=print,
        example=torch.zeros(1, 3, SIZE, SIZE),
    )  # fmt: skip


def int8_of(job: Any, model: nn.Module, how: Quantization) -> tuple[Candidates, Candidate]:
    """The owner of what is made of a model, and the model's candidate that is quantised so."""
    job.model = model.eval()
    return Candidates(job), Candidate(quantised=Quantised(how, job.policy))


@pytest.mark.parametrize(
    ("weight", "nearest"),
    [(every_pixel, ("kl", "percentile", "mse")), (bright_pixel, ("minmax",))],
    ids=["all", "bright"],
)
def test_the_nearest_is_taken_and_told(weight: Callable[[], Tensor], nearest: tuple[str, ...], job: Any) -> None:
    how = Quantization()
    candidates, candidate = int8_of(job, Squared(weight()), how)
    file, plain = candidates.file(candidate), candidates.fp32(candidate)
    calibrated = candidates.calibrated(candidate)
    assert calibrated is not None and calibrated.calibration in nearest
    assert min(calibrated.divergences, key=lambda name: calibrated.divergences[name]) == calibrated.calibration
    assert set(calibrated.divergences) == set(how.calibrations)
    images = job.calibration.normalised(pixels())
    seen = calibrate.distributions(plain, lambda: [images], job.policy)
    again = job.store.root / "again.onnx"
    quantize(plain, again, thresholds.ranges(seen, calibrated.calibration, job.policy), job.policy)
    assert file.read_bytes() == again.read_bytes()
    assert job.asked == ["model.onnx", "kl.onnx", "percentile.onnx", "mse.onnx", "minmax.onnx"]
    (cost,) = candidates.ledger.costs
    assert (cost.step, cost.images, cost.passes) == ("calibration", IMAGES + 5 * how.compared, 6)
    other = Candidates(job)
    assert (other.file(candidate), other.calibrated(candidate)) == (file, calibrated)
    assert other.ledger.costs == (cost,)
    assert len(job.asked) == 5, "told from the store"


@pytest.mark.parametrize("hidden", [24, 1], ids=["whole", "pruned"])
def test_what_pruning_leaves_of_a_layer_is_told_apart_after_int8(hidden: int, job: Any) -> None:
    """Where the values near zero are all of channels that go, KL sees nothing to lose in cutting those that stay."""
    torch.manual_seed(0)
    candidates, candidate = int8_of(job, Kept(hidden), Quantization(calibrations=("kl",)))
    images = job.calibration.normalised(pixels())
    exact, found = logits(candidates.fp32(candidate), images), logits(candidates.file(candidate), images)
    right = (np.abs(found - exact) < 0.02).all(axis=1)
    assert exact[:, 0].min() > 0.2
    assert np.ptp(exact[:, 0]) > 0.5
    assert right.mean() >= 1 - thresholds.MOST_CLIPPED


def test_a_recipe_of_one_calibration_compares_nothing(job: Any) -> None:
    candidates, candidate = int8_of(job, Squared(every_pixel()), Quantization(calibrations=("minmax",)))
    calibrated = candidates.calibrated(candidate)
    assert calibrated is not None
    assert (calibrated.calibration, calibrated.divergences) == ("minmax", {})
    # The bright pixel's square.
    (found,) = calibrated.findings
    assert (found.layer, found.remedy) == ("/Flatten", "kept whole by minmax")
    assert job.asked == []


def test_weights_too_coarse_are_rounded_in_turn_and_the_file_is_nearer(
    job: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(OrderedDict(flat=nn.Flatten(), head=nn.Linear(3 * SIZE * SIZE, 2)))
    with torch.no_grad():
        # Of a pixel that is dark in all images but one; the others' are 0.14 at most.
        model.head.weight[:, 0] = 10.0
    how = Quantization(calibrations=("percentile",))
    candidates, candidate = int8_of(job, model, how)
    images = job.calibration.normalised(pixels())[1:]
    exact, nearest = logits(candidates.fp32(candidate), images), logits(candidates.file(candidate), images)

    monkeypatch.setattr(rounding, "LEAST_RATIO", 1.0)
    job.key = {"anew": True}
    again = Candidates(job)
    found = logits(again.file(candidate), images)
    assert np.square(found - exact).mean() < 0.5 * np.square(nearest - exact).mean()
    calibrated = again.calibrated(candidate)
    assert calibrated is not None
    assert [one.layer for one in calibrated.findings if one.remedy.startswith("each makes up")] == ["head"]
    (cost,) = again.ledger.costs
    assert (cost.images, cost.passes) == (IMAGES + 256, 2)


class Mirrored(nn.Conv2d):
    """A convolution that mirrors its inputs at the edge, which it does not declare."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(F.pad(input, (1, 1, 1, 1), mode="reflect"))


def mirrored() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(Mirrored(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())


@pytest.mark.parametrize(
    ("model", "most_weights"),
    [(lambda: Squared(bright_pixel()), 8), (mirrored, recover.MOST_WEIGHTS)],
    ids=["too wide", "of a class of its own"],
)
def test_a_layer_whose_inputs_are_not_seen_keeps_its_nearest_values_and_is_not_told_otherwise(
    model: Callable[[], nn.Module], most_weights: int, job: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidates, candidate = int8_of(job, model(), Quantization(calibrations=("percentile",)))
    nearest = candidates.file(candidate).read_bytes()
    monkeypatch.setattr(rounding, "LEAST_RATIO", 0.0)
    monkeypatch.setattr(recover, "MOST_WEIGHTS", most_weights)
    job.key = {"anew": True}
    again = Candidates(job)
    calibrated = again.calibrated(candidate)
    assert calibrated is not None and again.file(candidate).read_bytes() == nearest
    assert not [one for one in calibrated.findings if one.remedy.startswith("each makes up")]


class Overflowing(nn.Module):
    """Logits of the pixels, with a value on the way, for images with a bright one, that float32 does not hold."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Conv2d(3, 2, 1, bias=False), nn.Linear(2 * SIZE * SIZE, 2)
        with torch.no_grad():
            self.first.weight[:] = 3e36

    def forward(self, x: Tensor) -> Tensor:
        return self.head((self.first(x) * 1e-37).flatten(1))


@pytest.fixture
def overflowing(job: Any) -> Any:
    """The job whose second image is the bright one: the first is among those that the export compares."""
    images = np.roll(pixels(), 1, axis=0)
    job.calibration = replace(job.calibration, read=lambda indices, size: images[list(indices)])
    return job


def test_images_that_give_infinity_are_left_out_by_a_histogram_method_and_it_is_said(overflowing: Any) -> None:
    how = Quantization(calibrations=("minmax",), images=100)
    candidates, candidate = int8_of(overflowing, Overflowing(), how)
    calibrated = candidates.calibrated(candidate)
    assert calibrated is not None and calibrated.calibration == "percentile"
    told = "first gave NaN or infinity: 1 of 300 calibration images are left out, and ranges are by percentile"
    assert calibrated.note == told and told in str(calibrated)
    (cost,) = candidates.ledger.costs
    assert (cost.images, cost.passes) == (100 + IMAGES, 2)


def test_where_more_than_a_few_images_give_infinity_the_network_is_refused(
    overflowing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(int8, "MOST_LEFT_OUT", 0.003)
    candidates, candidate = int8_of(overflowing, Overflowing(), Quantization())
    with pytest.raises(HqpError, match="calibration met NaN or infinity in first on 1 of 300 images"):
        candidates.file(candidate)


def test_a_file_that_the_runtime_would_refuse_is_not_shipped(job: Any) -> None:
    job.policy = Policy("uint8", symmetric=True)  # which TensorRT does not take
    candidates, candidate = int8_of(job, Squared(every_pixel()), Quantization())
    with pytest.raises(HqpError, match="is not symmetric: its zero point is 128, not 0"):
        candidates.file(candidate)


def test_divergence_is_of_probabilities_and_in_nats() -> None:
    exact = np.log(np.array([[0.5, 0.5], [0.25, 0.75]], np.float32))
    found = np.log(np.array([[0.25, 0.75], [0.25, 0.75]], np.float32)) + 3
    assert int8.divergence(exact, found) == pytest.approx((0.5 * np.log(2) + 0.5 * np.log(2 / 3)) / 2, rel=1e-6)
    assert int8.divergence(exact, exact) == 0.0
    assert int8.divergence(exact, found * np.float32("nan")) == np.finfo(np.float64).max


def test_logits_that_are_not_finite_are_refused() -> None:
    with pytest.raises(HqpError, match="NaN or infinity"):
        int8.divergence(np.array([[np.nan, 1]], np.float32), np.zeros((1, 2), np.float32))
