"""Images go channels last into a network whose code takes them so, and as they come into any other."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hqp.compress.network import layout
from hqp.compress.network.accuracy import accuracy
from hqp.compress.ranking.sensitivity import sensitivities
from hqp.compress.training import TrainingImages, TrainingRecipe, count_correct, fit
from hqp.records import Samples


class Flattened(nn.Module):
    """Two convolutions and a linear layer on all positions, joined by ``reshape``, which takes any order."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 6, 3, 2, 1), nn.Conv2d(6, 4, 3, 2, 1)
        self.head = nn.Linear(4 * 4 * 4, 3)

    def flat(self, x: Tensor) -> Tensor:
        return x.reshape(len(x), -1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.flat(self.second(F.relu(self.first(x)))))


class Viewed(Flattened):
    """Joined by ``view``, as in most older classifiers, which fails on what lies channels last."""

    def flat(self, x: Tensor) -> Tensor:
        return x.view(x.size(0), -1)


class Insisting(Flattened):
    """Says so itself."""

    def flat(self, x: Tensor) -> Tensor:
        assert x.is_contiguous()
        return x.reshape(len(x), -1)


class Bank(Flattened):
    """With a parameter of five dimensions, as dynamic convolution has."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels = nn.Parameter(torch.randn(2, 6, 6, 3, 3) * 0.05)

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(F.relu(self.first(x)), self.kernels.sum(0), padding=1)
        return self.head(self.flat(self.second(x)))


def made(kind: type[Flattened]) -> Flattened:
    """The network with weights that are always the same, whatever its kind."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return kind().eval()


NOISE = np.random.default_rng(0).integers(0, 255, (12, 16, 16, 3)).astype(np.uint8)


def samples() -> Samples:
    labels = np.arange(12, dtype=np.int64) % 3
    read = lambda indices, size: NOISE[list(indices)]  # noqa: E731
    return Samples("noise", "selection", labels, ("a", "b", "c"), (0.5,) * 3, (0.2,) * 3, "d" * 64, read)


@pytest.mark.parametrize(
    ("kind", "order"),
    [
        (Flattened, torch.channels_last),
        (Bank, torch.channels_last),
        (Viewed, torch.contiguous_format),
        (Insisting, torch.contiguous_format),
    ],
)
def test_the_order_is_what_the_code_takes(kind: type[Flattened], order: torch.memory_format) -> None:
    model, image = made(kind), torch.randn(1, 3, 16, 16)
    expected = model(image)
    assert layout.fitted(model, image) == order
    assert model.second.weight.is_contiguous(memory_format=order)
    torch.testing.assert_close(model(image.contiguous(memory_format=order)), expected)


def test_one_order_is_for_all_sizes() -> None:
    pooled = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 2, 1))
    pooled.forward = lambda x: pooled[1](pooled[0](x)).view(len(x), -1)  # type: ignore[method-assign]
    one, several = torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 8, 8)
    assert layout.fitted(pooled, one) == torch.channels_last, "of one position any order is the same"
    assert layout.fitted(pooled, one, several) == torch.contiguous_format
    assert pooled[1].weight.is_contiguous()


def test_sentences_have_no_channels_to_be_last() -> None:
    assert layout.fitted(nn.Linear(5, 2), torch.zeros(1, 4, 5)) == torch.contiguous_format


@pytest.mark.parametrize("kind", [Viewed, Insisting])
def test_every_pass_takes_a_network_that_counts_on_contiguous_images(kind: type[Flattened]) -> None:
    images = torch.from_numpy(NOISE).permute(0, 3, 1, 2).float() / 255
    labels = torch.arange(12) % 3
    found, expected = (sensitivities(made(one), [(images, labels)]).fisher for one in (kind, Flattened))
    for name in ("first", "second", "head"):
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=0)
    judged, right = (accuracy(made(one), samples(), 16) for one in (kind, Flattened))
    assert judged is not None and right is not None
    assert judged.correct_images.tolist() == right.correct_images.tolist()


def test_a_network_that_views_is_trained_as_one_that_flattens() -> None:
    images = TrainingImages(lambda chosen: NOISE[list(chosen)], np.arange(12) % 3, (0.5,) * 3, (0.2,) * 3, "noise")
    recipe = TrainingRecipe(phases=((16, 2),), batch=4)
    viewed, flattened = made(Viewed), made(Flattened)
    fit(viewed, images, recipe)
    fit(flattened, images, recipe)
    for name, value in flattened.state_dict().items():
        torch.testing.assert_close(viewed.state_dict()[name], value, rtol=1e-3, atol=1e-5)
    assert count_correct(viewed, images, 16) == count_correct(copy.deepcopy(flattened), images, 16)
