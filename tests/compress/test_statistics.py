"""What criteria score by, read from a torch model."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from hqp.compress.statistics import collect


def test_weights_scales_and_sensitivities_by_layer() -> None:
    model = nn.Sequential(
        nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3), nn.BatchNorm2d(3, affine=False), nn.Sequential(nn.Linear(3, 2))
    )
    with torch.no_grad():
        model[0].weight.copy_(torch.arange(6.0).reshape(3, 2, 1, 1))
        model[1].weight.copy_(torch.tensor([-1.0, 2.0, 3.0]))
    found = collect(model, {"0": torch.tensor([1.0, 2.0, 3.0])})
    assert list(found.weights) == ["0", "3.0"]
    assert found.weights["0"].tolist() == [[0, 1], [2, 3], [4, 5]]
    assert found.weights["3.0"].shape == (2, 3) and found.weights["3.0"].dtype == np.float64
    assert {name: values.tolist() for name, values in found.gammas.items()} == {"1": [-1, 2, 3]}
    assert found.fisher["0"].tolist() == [1, 2, 3]
    model[0].weight.data.zero_()
    assert found.weights["0"].any() and not collect(model).fisher
