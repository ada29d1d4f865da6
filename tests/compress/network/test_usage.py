"""What a forward pass does with layers: called last, once, again, with shared weights, or never."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from hqp.compress.network.layers import layers
from hqp.compress.network.usage import leave_out_unused, usage
from hqp.errors import HqpError

EXAMPLE = torch.zeros(2, 3, 8, 8)


class Everything(nn.Module):
    """One layer for each way of use; what is unused lies in folders of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.stem, self.norm = nn.Linear(4, 5), nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.again, self.tied, self.twin = (nn.Conv2d(4, 4, 3, padding=1) for _ in range(3))
        self.twin.weight = self.tied.weight
        self.behind = nn.Conv2d(4, 4, 3, padding=1)
        self.auxiliary = nn.ModuleDict({"deep": nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.ReLU())})
        self.activation, self.never = nn.ReLU(), nn.Conv2d(4, 4, 1)
        self.listed = nn.ModuleList([nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)])  # of which one is reached
        self.read = nn.Linear(4, 4)  # never called, but its weights are used

    def forward(self, x: Tensor) -> Tensor:
        x = self.listed[0](self.norm(self.norm(self.stem(x))))
        x = self.twin(self.tied(self.again(self.again(x))))
        x = self.behind(x) + F.conv2d(x, self.behind.weight, padding=1)
        return self.head(F.linear(x.mean((2, 3)), self.read.weight))


def test_every_way_of_use_is_told_apart() -> None:
    model = Everything().train()
    used = usage(model, EXAMPLE)
    assert used.last == "head"
    assert used.again == {"again": 2}
    assert used.shared == {
        "tied": "shares its weights with 'twin'",
        "twin": "shares its weights with 'tied'",
        "behind": "has its weights used outside of it",
        "read": "has its weights used outside of it",
    }
    assert used.once & layers(model).keys() == {"head", "stem", "listed.0"}
    assert used.unused == ("auxiliary", "never", "listed.1")
    assert model.training and not any(module._forward_hooks for module in model.modules())


def test_what_is_never_reached_is_left_out_and_the_logits_stay() -> None:
    torch.manual_seed(0)
    model = Everything().eval()
    image = torch.randn(2, 3, 8, 8)
    before = model(image)
    assert leave_out_unused(model, 8) == ("auxiliary", "never", "listed.1")
    assert list(layers(model)) == ["head", "stem", "again", "tied", "twin", "behind", "listed.0", "read"]
    assert torch.equal(model(image), before)
    assert leave_out_unused(model, 8) == ()


class Asking(Everything):
    """Reads an attribute of a layer that it never calls."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * self.never.out_channels


def test_where_the_code_asks_for_what_it_never_calls_all_stays() -> None:
    model = Asking().eval()
    names = list(layers(model))
    assert leave_out_unused(model, 8) == ()
    assert list(layers(model)) == names


def test_auxiliary_heads_are_left_out() -> None:
    model = torchvision.models.googlenet(num_classes=4, aux_logits=True, init_weights=False).eval()
    assert leave_out_unused(model, 32) == ("aux1", "aux2")
    assert leave_out_unused(torchvision.models.resnet18(num_classes=4).eval(), 32) == ()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Sequential(nn.Flatten(), nn.BatchNorm1d(192)), "no convolution and no linear layer"),
        (nn.Conv2d(4, 5, 1), "the model cannot be traced: "),
    ],
)
def test_a_model_that_cannot_be_run_or_has_no_layer_is_refused(model: nn.Module, message: str) -> None:
    with pytest.raises(HqpError, match=message):
        usage(model, EXAMPLE)
