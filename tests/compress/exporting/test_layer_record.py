"""The per-layer record says exactly what pruning left of each layer."""

from __future__ import annotations

import torch
from torch import nn

from hqp.compress.exporting import layer_record
from hqp.records import Policy


def test_each_layer_before_and_after() -> None:
    dense = nn.Sequential(nn.Conv2d(1, 3, 1, bias=False), nn.Conv2d(3, 2, 1, bias=False))
    kept = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.Conv2d(2, 2, 1, bias=False))
    with torch.no_grad():
        dense[0].weight.copy_(torch.tensor([-1.0, 9.0, 1.0]).reshape(3, 1, 1, 1))
        kept[0].weight.copy_(torch.tensor([-1.0, 1.0]).reshape(2, 1, 1, 1))
    gone = {"0": {1}}
    fisher = {"0": torch.tensor([1.0, 8.0, 3.0]), "1": torch.tensor([5.0, 7.0])}
    first, second = layer_record.record(dense, kept, gone, fisher, lambda layer: "fp32")
    assert (first.layer, first.channels, first.kept_channels) == ("0", 3, 2)
    assert (first.sensitivity, first.kept_sensitivity) == (4.0, 2.0)
    assert (first.weight_range, first.kept_weight_range) == (10.0, 2.0)
    assert (first.weight_step, first.kept_weight_step) == (10 / 255, 2 / 255)
    assert (second.channels, second.kept_channels, second.kept_sensitivity) == (2, 2, 6.0)


def test_a_layer_has_the_precision_that_the_policy_of_its_file_gives_it() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    policies = (Policy(), Policy(layers={"1": "float"}))
    told = [layer_record.record(model, model, {}, None, policy.precision_of) for policy in policies]
    assert [[one.precision for one in records] for records in told] == [["int8", "int8"], ["int8", "fp32"]]


def test_without_a_sensitivity_pass_there_is_none() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    (record,) = layer_record.record(model, model, {}, None, lambda layer: "fp32")
    assert record.sensitivity is None and record.kept_sensitivity is None
