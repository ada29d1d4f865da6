"""Layers that compute their weight: given it once and for all, and nothing else changed."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from hqp.compress.network.plain import plain
from hqp.compress.studies.trial import trial
from hqp.criteria import fisher_obd

torch.set_num_threads(1)


class Standardised(nn.Conv2d):
    """Filters of mean 0 and deviation 1, as in NFNets."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.standardised(), self.bias, self.stride, self.padding, self.dilation, self.groups)

    def standardised(self) -> Tensor:
        rows = self.weight.flatten(1)
        rows = (rows - rows.mean(1, keepdim=True)) / rows.std(1, keepdim=True)
        return rows.view_as(self.weight)


class Padded(Standardised):
    """Does more than a convolution by the weight it computes."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (1, 0, 1, 0)))


class Dynamic(nn.Conv2d):
    """A weight that depends on the input."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * x.mean(), self.bias, padding=self.padding)


class Guided(Standardised):
    """Takes two inputs."""

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x * guide)


class Own(nn.Conv2d):
    """A forward of its own, by the weight that is its parameter."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(F.pad(x, (1, 1, 1, 1)), self.weight, self.bias)


class Renamed(nn.Conv2d):
    """A convolution under another name, whose weight may be tied to others."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias)


def convolution(**options: Any) -> nn.Conv2d:
    return nn.Conv2d(8, 8, 3, **options)


COMPUTED: dict[str, Callable[[], nn.Module]] = {
    "weight norm": lambda: parametrizations.weight_norm(convolution()),
    "spectral norm": lambda: parametrizations.spectral_norm(convolution(bias=False)),
    "old weight norm": lambda: nn.utils.weight_norm(convolution(stride=2, padding=1, padding_mode="reflect")),
    "old spectral norm": lambda: nn.utils.spectral_norm(convolution(groups=2, dilation=2)),
    "standardised": lambda: Standardised(8, 8, 3, padding=1),
}
LEFT: dict[str, Callable[[], nn.Module]] = {
    "plain": convolution,
    "own": lambda: Own(8, 8, 3),
    "renamed": lambda: Renamed(8, 8, 3),
    "padded": lambda: Padded(8, 8, 3),
    "dynamic": lambda: Dynamic(8, 8, 3),
    "two inputs": lambda: Guided(8, 8, 3),
}


class Net(nn.Module):
    def __init__(self, layer: nn.Module, classes: int = 4) -> None:
        super().__init__()
        self.first, self.layer, self.head = nn.Conv2d(3, 8, 3), layer, nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        given: Tensor = self.head(self.layer(self.first(x).relu()).relu().mean((2, 3)))
        return given


def made(build: Callable[[], nn.Module], classes: int = 4) -> Net:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the old weight norm
        return Net(build(), classes).eval()


@pytest.mark.parametrize("name", COMPUTED)
def test_a_layer_gets_the_weight_that_it_computes(name: str) -> None:
    net, image = made(COMPUTED[name]), torch.randn(2, 3, 16, 16)
    expected = net(image).detach()
    assert plain(net) is net
    assert type(net.layer) is nn.Conv2d and not net.layer.training
    assert set(dict(net.layer.named_parameters())) <= {"weight", "bias"} and not net.layer._forward_pre_hooks
    torch.testing.assert_close(net(image), expected)


def test_a_linear_layer_gets_it_too() -> None:
    net, image = made(convolution), torch.randn(2, 3, 16, 16)
    net.head = parametrizations.weight_norm(net.head)
    expected = net(image).detach()
    plain(net)
    assert type(net.head) is nn.Linear
    torch.testing.assert_close(net(image), expected)


@pytest.mark.parametrize("name", LEFT)
def test_a_layer_that_does_more_or_nothing_of_the_kind_is_left(name: str) -> None:
    net = made(LEFT[name])
    layer = net.layer
    assert plain(net).layer is layer


@pytest.mark.parametrize("name", COMPUTED)
def test_the_engine_takes_it(name: str) -> None:
    found = trial(lambda classes: made(COMPUTED[name], classes), 32, fisher_obd.score)
    assert found.reason is None and found.removable == 1.0
