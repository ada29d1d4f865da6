"""Batches that memory does not hold: halved, said, and the same result."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hqp.compress.channels.finding import find_groups
from hqp.compress.channels.recover import grams, moments
from hqp.compress.network.accuracy import accuracy
from hqp.compress.network.batches import FittingBatches
from hqp.compress.ranking.sensitivity import sensitivities
from hqp.compress.search.recovery import Aim, measured, recovered
from hqp.compress.training import TrainingImages, TrainingRecipe, fit
from hqp.errors import HqpError
from hqp.ledger import Ledger
from hqp.records import Recovery, Samples

torch.set_num_threads(1)


class Hungry(nn.Module):
    """Takes so many images at once, in its last layer, backwards in its first: what layers before gave is lost."""

    def __init__(self, most: int, error: RuntimeError) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 5)
        for values in self.parameters():
            values.data = torch.randn(values.shape, generator=generator)
        self.most, self.error, self.batches = most, error, list[int]()

    def forward(self, x: Tensor) -> Tensor:
        self.batches.append(len(x))
        features = self.conv(x)
        given = self.head(features.relu().mean((2, 3)))
        if given.requires_grad:
            features.register_hook(lambda _: self.refuse(len(x)))
        else:
            self.refuse(len(x))
        return given

    def refuse(self, images: int) -> None:
        if images > self.most:
            raise self.error


ERRORS = [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("[enforce fail] can't allocate memory: 12 bytes")]


@pytest.mark.parametrize("error", ERRORS)
def test_a_sensitivity_pass_goes_on_with_smaller_batches(error: RuntimeError) -> None:
    generator = torch.Generator().manual_seed(1)
    images, labels = torch.randn(26, 3, 6, 6, generator=generator), torch.arange(26) % 5
    batches = [(images[:16], labels[:16]), (images[16:], labels[16:])]
    hungry, said = Hungry(5, error), list[str]()
    found = sensitivities(hungry, batches, said.append)
    expected = sensitivities(Hungry(99, error), batches)
    for name in ("conv", "head"):
        torch.testing.assert_close(found.fisher[name], expected.fisher[name], rtol=1e-5, atol=0)
        torch.testing.assert_close(found.fisher_obd[name], expected.fisher_obd[name], rtol=1e-5, atol=0)
    assert hungry.batches == [1, 1, 16, 8, 4, 4, 4, 4, 4, 4, 2]
    assert said == [f"out of memory: batches of {size} images from here on" for size in (8, 4)]


def test_a_validation_pass_goes_on_with_smaller_batches() -> None:
    def read(indices: object, size: int) -> np.ndarray:  # type: ignore[type-arg]
        return np.random.default_rng(0).integers(0, 255, (10, size, size, 3), np.uint8)[np.asarray(indices)]

    names = tuple("abcde")
    samples = Samples("noise", "selection", np.arange(10) % 5, names, (0.5,) * 3, (0.2,) * 3, "d" * 64, read)
    said = list[str]()
    found = accuracy(Hungry(3, ERRORS[0]), samples, 6, batch_size=10, say=said.append)
    assert found == accuracy(Hungry(99, ERRORS[0]), samples, 6, batch_size=10)
    assert said == [f"out of memory: batches of {size} images from here on" for size in (5, 2)]


def test_gram_matrices_are_begun_anew_with_smaller_batches() -> None:
    batches = torch.randn(26, 3, 6, 6, generator=torch.Generator().manual_seed(1)).split(16)
    hungry, said = Hungry(5, ERRORS[0]), list[str]()
    found = FittingBatches(said.append).anew(lambda: batches, lambda parts: grams(hungry, ["conv", "head"], parts))
    expected = grams(Hungry(99, ERRORS[0]), ["conv", "head"], batches)
    for name in ("conv", "head"):
        torch.testing.assert_close(found[name], expected[name], rtol=1e-5, atol=1e-5)
    assert hungry.batches == [16, 8, 4, 4, 4, 4, 4, 4, 2]
    assert said == [f"out of memory: batches of {size} images from here on" for size in (8, 4)]


def test_what_batch_norms_see_is_measured_with_smaller_batches() -> None:
    images = torch.randn(16, 3, 6, 6, generator=torch.Generator().manual_seed(1))
    hungry, whole = (nn.Sequential(nn.BatchNorm2d(3), Hungry(most, ERRORS[0])).eval() for most in (4, 99))
    found = FittingBatches().anew(lambda: [images], lambda parts: moments(hungry, parts))
    expected = moments(whole, images.split(4))
    assert all(torch.equal(one, other) for one, other in zip(found["0"], expected["0"], strict=True))


@pytest.mark.parametrize("error", ERRORS)
def test_a_training_goes_on_with_smaller_batches(error: RuntimeError) -> None:
    def read(indices: object) -> np.ndarray:  # type: ignore[type-arg]
        return np.random.default_rng(0).integers(0, 255, (12, 6, 6, 3), np.uint8)[np.asarray(indices)]

    images = TrainingImages(read, np.arange(12) % 5, (0.5,) * 3, (0.2,) * 3, "noise")
    recipe = TrainingRecipe(phases=((6, 2),), batch=6, optimizer="sgd", learning_rate=0.1)
    hungry, whole, said = Hungry(2, error), Hungry(99, error), list[str]()
    fit(hungry, images, recipe, say=said.append)
    fit(whole, images, recipe)
    assert hungry.batches == [1, 6, 3, 1, 1, 1, 1, 1, 1] + 18 * [1] and whole.batches == [1] + 4 * [6]
    for found, expected in zip(hungry.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert said == [f"out of memory: batches of {size} images from here on" for size in (3, 1)]


def test_the_engine_recovers_with_smaller_batches() -> None:
    def read(indices: object, size: int) -> np.ndarray:  # type: ignore[type-arg]
        return np.random.default_rng(0).integers(0, 255, (20, size, size, 3), np.uint8)[np.asarray(indices)]

    names, said = tuple("abcde"), list[str]()
    model = nn.Sequential(nn.BatchNorm2d(3), Hungry(6, ERRORS[0])).eval()
    job: Any = SimpleNamespace(
        model=copy.deepcopy(model),
        example=torch.zeros(1, 3, 6, 6),
        calibration=Samples("noise", "calibration", np.arange(20) % 5, names, (0.5,) * 3, (0.2,) * 3, "d" * 64, read),
        input_size=6,
        track=lambda step, images: nullcontext(lambda images: None),
        warn=said.append,
    )
    found, how, ledger = find_groups(model, job.example), Recovery(), Ledger()
    whole = measured(job, found, model, how, ledger, Aim(model))
    same = recovered(job, whole, {}, how, ledger)[0].state_dict()
    assert said == 2 * [f"out of memory: batches of {size} images from here on" for size in (10, 5)]
    assert all(torch.equal(value, same[name]) for name, value in model.state_dict().items()), "nothing was removed"


def test_what_does_not_hold_one_image_is_refused() -> None:
    with pytest.raises(HqpError, match="memory does not hold a batch of one image"):
        sensitivities(Hungry(0, ERRORS[0]), [(torch.zeros(2, 3, 6, 6), torch.zeros(2, dtype=torch.int64))])


def test_another_error_is_no_lack_of_memory() -> None:
    def broken(part: slice) -> None:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        FittingBatches().each(4, broken)
    with pytest.raises(RuntimeError, match="shapes"):
        FittingBatches().anew(lambda: [torch.zeros(4)], lambda parts: broken(slice(len(next(parts)))))
