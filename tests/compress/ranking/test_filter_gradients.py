"""The sums over samples, by each route, are those of the gradients that autograd gives sample by sample."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from hqp.compress.network.layers import Layer, Transposed
from hqp.compress.ranking.filter_gradients import by_gram, filters, squared

CASES: dict[str, tuple[Layer | Transposed, tuple[int, ...]]] = {
    "linear": (nn.Linear(4, 3), (2, 4)),
    "tokens": (nn.Linear(4, 3), (2, 5, 4)),
    "pointwise": (nn.Conv2d(4, 3, 1), (2, 4, 3, 2)),
    "convolution": (nn.Conv2d(4, 6, 3, stride=2, padding=1), (3, 4, 5, 5)),
    "grouped": (nn.Conv2d(4, 6, 3, padding=1, groups=2), (2, 4, 4, 4)),
    "depthwise": (nn.Conv2d(4, 4, 3, padding=1, groups=4), (2, 4, 4, 4)),
    "one dimension": (nn.Conv1d(2, 3, 3), (2, 2, 7)),
    "transposed": (nn.ConvTranspose2d(4, 6, 2, stride=2, groups=2), (2, 4, 3, 3)),
}


def by_autograd(layer: Layer | Transposed, inputs: Tensor, delta: Tensor) -> Tensor:
    """Both sums by their definition, a backward pass a sample."""
    sums = torch.zeros(2, filters(layer), dtype=torch.float64)
    for one, wanted in zip(inputs, delta, strict=True):
        (gradient,) = torch.autograd.grad(layer(one[None]), layer.weight, wanted[None])
        product = gradient * layer.weight
        if isinstance(layer, Transposed):
            # A filter of a transposed convolution is a column of its group's block.
            blocks = [values.chunk(layer.groups) for values in (gradient, product)]
            gradient, product = (torch.cat([block.transpose(0, 1) for block in parts]) for parts in blocks)
        sums[0] += gradient.flatten(1).square().sum(1)
        sums[1] += product.flatten(1).sum(1).square()
    return sums


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("route", ["gram", "gradients"])
def test_the_sums_are_those_of_single_samples(name: str, route: str) -> None:
    layer, shape = CASES[name]
    layer = layer.double()
    draws = torch.Generator().manual_seed(0)
    inputs = torch.randn(shape, generator=draws, dtype=torch.float64)
    outputs = layer(inputs)
    delta = torch.randn(outputs.shape, generator=draws, dtype=torch.float64)
    with torch.no_grad():
        found = squared(layer, inputs, outputs.detach() if route == "gram" else None, delta)
    assert torch.allclose(found, by_autograd(layer, inputs, delta), rtol=1e-9)


def test_the_gram_matrix_is_taken_where_it_is_cheaper() -> None:
    assert by_gram(nn.Linear(100, 100), torch.zeros(1, 100))
    assert not by_gram(nn.Linear(2, 2), torch.zeros(1, 50, 2))
    assert by_gram(nn.Conv2d(64, 64, 3), torch.zeros(1, 64, 2, 2))
    assert not by_gram(nn.Conv2d(3, 64, 3), torch.zeros(1, 64, 32, 32))
    assert not by_gram(nn.Conv2d(64, 64, 3, groups=64), torch.zeros(1, 64, 2, 2))
