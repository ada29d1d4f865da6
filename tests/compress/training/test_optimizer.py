"""The optimizer decays kernels alone, and its learning rate goes through one cycle."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hqp.compress.training import TrainingRecipe
from hqp.compress.training.optimizer import optimizer_of, set_batch_norm_momentum, set_learning_rate


@pytest.mark.parametrize(("name", "kind"), [("sgd", torch.optim.SGD), ("adamw", torch.optim.AdamW)])
def test_biases_and_norms_are_not_decayed(name: str, kind: type) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Linear(4, 2))
    optimizer = optimizer_of(model, TrainingRecipe(optimizer=name, weight_decay=0.3))  # type: ignore[arg-type]
    assert isinstance(optimizer, kind)
    decayed, free = optimizer.param_groups
    assert [tuple(values.shape) for values in decayed["params"]] == [(4, 3, 1, 1), (2, 4)]
    assert [tuple(values.shape) for values in free["params"]] == [(4,), (4,), (4,), (2,)]
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.3, 0.0)


def test_the_rate_rises_in_a_line_and_falls_on_half_a_cosine() -> None:
    recipe = TrainingRecipe(learning_rate=1.0, warmup=0.4)
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.0)
    rates = []
    for step in range(10):
        set_learning_rate(optimizer, recipe, step, 10)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert rates[4] == pytest.approx(0.5 * (1 + 2**0.5 * 0.6401), abs=0.05)
    assert 0 < rates[-1] < 0.06


def test_the_momentum_of_each_norm_is_given_back() -> None:
    model = nn.Sequential(nn.BatchNorm2d(2, momentum=0.01), nn.BatchNorm2d(2, momentum=None))
    before = set_batch_norm_momentum(model, 0.2)
    assert [norm.momentum for norm in model] == [0.2, 0.2]
    assert [momentum for _, momentum in before] == [0.01, None]
