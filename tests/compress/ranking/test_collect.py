"""What criteria score by, read from a torch model."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from hqp.compress.ranking.collect import Sensitivities, collect


def test_weights_scales_and_sensitivities_by_layer() -> None:
    model = nn.Sequential(
        nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3), nn.BatchNorm2d(3, affine=False), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Sequential(nn.Linear(3, 2)),
    ).eval()  # fmt: skip
    with torch.no_grad():
        model[0].weight.copy_(torch.arange(6.0).reshape(3, 2, 1, 1))
        model[1].weight.copy_(torch.tensor([-1.0, 2.0, 3.0]))
    fisher, obd = {"0": torch.tensor([1.0, 2.0, 3.0])}, {"0": torch.tensor([4.0, 5.0, 6.0])}
    found = collect(model, Sensitivities(fisher, obd))
    assert list(found.weights) == ["0", "5.0"]
    assert found.weights["0"].tolist() == [[0, 1], [2, 3], [4, 5]]
    assert found.weights["5.0"].shape == (2, 3) and found.weights["5.0"].dtype == np.float64
    assert {name: values.tolist() for name, values in found.gammas.items()} == {"1": [-1, 2, 3]}
    assert found.fisher["0"].tolist() == [1, 2, 3]
    assert found.fisher_obd["0"].tolist() == [4, 5, 6]
    model[0].weight.data.zero_()
    assert found.weights["0"].any() and not collect(model).fisher
