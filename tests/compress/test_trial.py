"""A network passes the zoo's trial when every step of the engine takes it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from hqp.compress.trial import trial
from hqp.criteria import fisher_obd
from hqp.errors import HqpError

torch.set_num_threads(1)

STEPS = (
    "finding.find_groups",
    "trial.sensitivities",
    "groups.remove",
    "recover.grams",
    "recover.refit",
    "contract.require_classifier",
    "export.export",
    "count.macs",
)


def build(classes: int) -> nn.Module:
    layers = [nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 12, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(12, classes))


def test_a_tenth_of_the_filters_goes() -> None:
    found = trial(build, 16, fisher_obd.score)
    assert (found.reason, found.filters, found.groups, found.removable, found.removed) == (None, 20, 2, 1.0, 0.1)
    assert found.parameters == 3 * 8 * 9 + 8 + 8 * 12 * 9 + 12 + 12 * 10 + 10


@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_refuses_is_the_reason(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*asked: Any) -> None:
        raise HqpError("layer 'x' cannot")

    monkeypatch.setattr(f"hqp.compress.{step}", refuse)
    found = trial(build, 16, fisher_obd.score)
    assert found.reason is not None and "layer 'x' cannot" in found.reason and found.removed == 0
