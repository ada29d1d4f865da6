"""A network that has been used is copied with its values, or refused by the name of what has no copy."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hqp.compress.channels import finding, groups
from hqp.compress.network.copies import copied
from hqp.errors import HqpError


class Keeping(nn.Module):
    """Keeps its feature map, as code for class activation maps and for distillation does."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.inner, self.head = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 3), nn.Linear(6, 3)
        self.kept: list[Any] = []

    def forward(self, x: Tensor) -> Tensor:
        self.feature = self.conv(x)
        self.kept = [{"feature": self.feature}]
        return self.head(self.inner(self.feature.relu()).mean((2, 3)))


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_a_kept_feature_is_copied_without_its_graph(mode: Any) -> None:
    model = Keeping().eval()
    with mode():
        model(torch.randn(1, 3, 8, 8))
    twin: Any = copied(model)
    assert torch.equal(twin.feature, model.feature) and twin.feature is not model.feature
    assert twin.feature.grad_fn is None and not twin.feature.is_inference()
    assert torch.equal(twin.kept[0]["feature"], model.feature)
    assert twin.conv.weight is not model.conv.weight and twin.conv.weight.requires_grad


def test_its_channels_are_found_and_removed() -> None:
    model, example = Keeping().eval(), torch.zeros(1, 3, 8, 8)
    model(example)
    found = finding.find_groups(model, example)
    smaller: Any = groups.remove(model, {"conv": (0, 2)}, found)
    assert smaller.conv.out_channels == 4 and smaller(example).shape == (1, 3)


def test_what_has_no_copy_is_named() -> None:
    inner = nn.Linear(2, 2)
    inner.lock = threading.Lock()
    with pytest.raises(HqpError, match=r"attribute 'lock' of layer '1' cannot be copied \(cannot pickle '_thread"):
        copied(nn.Sequential(nn.Linear(2, 2), inner))
    with pytest.raises(HqpError, match="attribute 'lock' of the model cannot be copied"):
        copied(inner)
    with open(__file__) as file:
        inner.lock = file
        with pytest.raises(HqpError, match=r"cannot be copied \(cannot pickle '_io.TextIOWrapper"):
            copied(inner)
