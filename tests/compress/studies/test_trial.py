"""A network passes the zoo's trial when every step of the engine takes it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from hqp.compress.studies.trial import trial
from hqp.criteria import fisher_obd
from hqp.errors import HqpError

torch.set_num_threads(1)

STEPS = (
    "channels.finding.find_groups",
    "studies.trial.sensitivities",
    "channels.groups.remove",
    "channels.recover.grams",
    "channels.recover.refit",
    "network.contract.require_classifier",
    "exporting.export.export",
    "exporting.count.macs",
)


def build(classes: int) -> nn.Module:
    layers = [nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 12, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(12, classes))


def test_a_tenth_of_the_filters_goes() -> None:
    found = trial(build, 16, fisher_obd.score)
    assert (found.reason, found.filters, found.groups, found.removable, found.removed) == (None, 20, 2, 1.0, 0.1)
    assert found.parameters == 3 * 8 * 9 + 8 + 8 * 12 * 9 + 12 + 12 * 10 + 10


class Shared(nn.Module):
    """One layer works twice, two have one weight, and what training alone uses is never reached."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem, self.twice = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 8, 3, padding=1)
        self.first, self.second = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)
        self.second.weight = self.first.weight
        self.gated, self.auxiliary = nn.Conv2d(8, 20, 3), nn.Linear(8, classes)
        self.head = nn.Linear(10, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        x = (self.twice(x) + self.twice(F.avg_pool2d(x, 3, 1, 1))).relu()
        x = self.second(self.first(x).relu()).relu()
        return self.head(F.glu(checkpoint(self.gated, x, use_reentrant=False), 1).mean((2, 3)))


class Encoded(nn.Module):
    """Patches, two layers of torch's own transformer encoder, a head."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(16, 4, 24, batch_first=True)
        self.stem, self.encoder = nn.Conv2d(3, 16, 4, 4), nn.TransformerEncoder(layer, 2)
        self.head = nn.Linear(16, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(self.stem(x).flatten(2).transpose(1, 2)).mean(1))


def test_a_network_with_shared_layers_goes_through_and_its_other_filters_go() -> None:
    found = trial(Shared, 16, fisher_obd.score)
    removable = (16 + 20) / (16 + 8 + 8 + 8 + 20)
    assert (found.reason, found.filters, found.groups, found.removable) == (None, 60, 2, removable)


def test_torch_s_own_transformer_encoder_loses_heads_and_channels_within() -> None:
    found = trial(Encoded, 16, fisher_obd.score)
    inside = 2 * (3 * 16 + 24)
    assert (found.reason, found.groups, found.removable) == (None, 4, round(inside / found.filters, 4))


@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_refuses_is_the_reason(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*asked: Any) -> None:
        raise HqpError("layer 'x' cannot")

    monkeypatch.setattr(f"hqp.compress.{step}", refuse)
    found = trial(build, 16, fisher_obd.score)
    assert found.reason is not None and "layer 'x' cannot" in found.reason and found.removed == 0
