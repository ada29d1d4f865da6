"""A model that is no classifier of images is refused with the reason."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hqp.compress.contract import module, require_classifier
from hqp.errors import HqpError


class Net(nn.Module):
    """Whose output is what ``give`` makes of its logits."""

    def __init__(self, give: Any) -> None:
        super().__init__()
        self.layer, self.give = nn.Linear(3, 4), give

    def forward(self, x: Tensor) -> Any:
        return self.give(self.layer(x.mean((2, 3))))


class TwoInputs(Net):
    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        return self.layer(x * mask)


class Optional(Net):
    def forward(self, x: Tensor, scale: float = 1.0, *rest: Any, **named: Any) -> Tensor:  # type: ignore[override]
        return self.layer(x.mean((2, 3))) * scale


@pytest.mark.parametrize("model", [Net(lambda x: x), Optional(None)])
def test_one_row_of_logits_is_what_is_asked_for(model: nn.Module) -> None:
    require_classifier(model.eval(), 8, 4)
    require_classifier(model.eval(), 8, 3)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (Net(lambda x: {"logits": x, "features": x}), r"returns a dict \(logits, features\); one tensor of logits"),
        (Net(lambda x: (x, x)), r"returns a tuple of 2; .*try: wrap it"),
        (Net(lambda x: [x]), r"returns a list of 1"),
        (Net(lambda x: x[:, :, None]), r"returns \(1, 4, 1\) for one image"),
        (Net(lambda x: x[0]), r"returns \(4,\) for one image"),
        (Net(lambda x: 3), r"returns int for one image"),
        (Net(lambda x: x[:, :2]), r"has 2 outputs, and the labels of the dataset go up to 3; 4 outputs or more"),
        (TwoInputs(None), r"forward of the model needs 2 inputs \(x, mask\)"),
        (
            nn.Sequential(nn.Conv2d(3, 4, 9), nn.Flatten(), nn.Linear(4, 4)),
            r"cannot take an image of 8x8 pixels \(RuntimeError: ",
        ),
    ],
)
def test_anything_else_is_refused_with_the_reason(model: nn.Module, said: str) -> None:
    with pytest.raises(HqpError, match=said):
        require_classifier(model.eval(), 8, 4)


def test_what_is_built_must_be_a_module() -> None:
    assert not module(lambda classes: nn.Linear(2, classes), 5).training
    with pytest.raises(HqpError, match=r"the model's function gives a Tensor; a torch.nn.Module"):
        module(lambda classes: torch.zeros(classes), 5)
