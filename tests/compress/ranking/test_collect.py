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
    example = torch.zeros(1, 2, 5, 3)
    found = collect(model, example, Sensitivities(fisher, obd))
    assert list(found.weights) == ["0", "5.0"]
    assert found.weights["0"].tolist() == [[0, 1], [2, 3], [4, 5]]
    assert found.weights["5.0"].shape == (2, 3) and found.weights["5.0"].dtype == np.float64
    assert {name: values.tolist() for name, values in found.gammas.items()} == {"1": [-1, 2, 3]}
    assert found.fisher["0"].tolist() == [1, 2, 3]
    assert found.fisher_obd["0"].tolist() == [4, 5, 6]
    model[0].weight.data.zero_()
    assert found.weights["0"].any() and not collect(model, example).fisher


def test_multiply_adds_of_a_filter_and_of_an_input() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 6, 1, groups=2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4),
    )  # fmt: skip
    found = collect(model, torch.zeros(2, 3, 9, 7))
    # 9x7 pixels leave 4x3 positions.
    assert found.filter_macs == {"0": 12 * 27, "1": 12 * 9, "2": 12 * 4, "5": 6}
    assert found.input_macs == {"0": 12 * 9 * 8, "1": 12 * 9, "2": 12 * 3, "5": 4}
