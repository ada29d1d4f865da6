"""The pace of the sensitivity pass: both passes really run, and the ratio is that of their times."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hqp.compress.studies import pace as study
from hqp.compress.studies.pace import once, ordinary, pace


def build(classes: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes))


def test_the_ratio_is_the_median_over_rounds_after_one_that_warms_up(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([9.0, 9.0, *[2.0, 3.0] * study.ROUNDS])

    def timed(work: object) -> float:
        return next(seconds)

    monkeypatch.setattr(study, "_seconds", timed)
    found = pace(build, 8, 2, threads=1)
    assert (found.images, found.ordinary_seconds, found.sensitivity_seconds, found.ratio) == (2, 2.0, 3.0, 1.5)


def test_the_ordinary_pass_has_the_gradient_of_every_weight() -> None:
    torch.manual_seed(0)
    model = build(2)
    ordinary(model, torch.randn(3, 3, 8, 8), torch.tensor([0, 1, 0]))
    gradients = [parameter.grad for parameter in model.parameters()]
    assert all(gradient is not None and gradient.any() for gradient in gradients)


@pytest.mark.parametrize("what", ("ordinary", "sensitivity"))
def test_one_pass_runs_to_its_end(what: str) -> None:
    once(build, 8, 2, what)
