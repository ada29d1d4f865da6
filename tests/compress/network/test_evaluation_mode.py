"""Evaluation mode is for a while, and norms that work by the batch are known."""

from __future__ import annotations

import sys

import pytest
from torch import nn

from hqp.compress.network.evaluation_mode import evaluating, most_at_once, normalising_by_batch


def test_each_module_has_its_own_mode_again_also_after_an_error() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Dropout(), nn.Flatten()).train()
    model[1].eval()

    def use() -> None:
        with evaluating(model):
            assert [module.training for module in model.modules()] == [False] * 4
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError):
        use()
    assert [module.training for module in model.modules()] == [True, True, False, True]


def test_images_are_alone_where_a_norm_has_no_running_statistics() -> None:
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False)))
    assert (normalising_by_batch(model), most_at_once(model)) == ("1.0", 1)
    assert (normalising_by_batch(model[0]), most_at_once(model[0])) == ("", sys.maxsize)
