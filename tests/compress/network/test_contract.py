"""A model that is no classifier of images is refused with the reason."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hqp.compress.network.contract import module, require_classifier
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


class Counting(Net):
    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.layer(x.mean((2, 3))) * self.calls


class Cast(Net):
    def __init__(self) -> None:
        super().__init__(None)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return self.layer(x.mean((2, 3)))


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
        (Net(lambda x: x[:, :, None]), r"returns \(1, 4, 1\); one tensor of logits"),
        (Net(lambda x: x[0]), r"returns \(4,\); one tensor"),
        (Net(lambda x: 3), r"returns int; one tensor"),
        (Net(lambda x: x[:, :2]), r"has 2 outputs, and the labels of the dataset go up to 3; 4 outputs or more"),
        (TwoInputs(None), r"forward of the model needs 2 inputs \(x, mask\)"),
        (Net(lambda x: x.repeat(2, 1)), r"returns \(2, 4\) for one image"),
        (
            nn.Sequential(nn.Conv2d(3, 4, 9), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4)),
            r"cannot take an image of 8x8 pixels \(RuntimeError: .*\), in layer '0'; .* try: --input-size 32",
        ),
        (
            nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 222**2, 4)),
            r"8x8 pixels \(RuntimeError: mat1 and mat2 .*, in layer '2'; the size it was .* try: --input-size 224",
        ),
        (nn.Sequential(Net(lambda x: undefined)), r"NameError: name 'undefined' .* in layer '0'; nor can it"),  # noqa: F821
        (nn.Sequential(nn.Conv2d(1, 4, 3)), r"layer '0' takes images of 1 channels, and HQP gives 3; a network"),
        (Net(lambda x: F.dropout(x, 0.2)), r"other logits at another call: it draws random numbers; dropout that"),
        (Counting(None), r"at another call: it keeps something of the call before; a forward"),
        (Cast(), r"layer 'layer' computes in bfloat16, by torch.autocast or a cast in forward; float32 throughout"),
    ],
)
def test_anything_else_is_refused_with_the_reason(model: nn.Module, said: str) -> None:
    with pytest.raises(HqpError, match=said):
        require_classifier(model.eval(), 8, 4)


def test_little_dropout_of_few_channels_is_seen() -> None:
    class Rarely(Net):
        def forward(self, x: Tensor) -> Tensor:
            return F.dropout(self.layer(x.mean((2, 3)))[:, :1], 0.1).repeat(1, 4)

    torch.manual_seed(0)
    with pytest.raises(HqpError, match="it draws random numbers"):
        require_classifier(Rarely(None).eval(), 8, 4)


def test_a_network_may_draw_numbers_that_it_does_not_use() -> None:
    model, before = Net(lambda x: x + 0 * torch.rand(4)).eval(), torch.get_rng_state()
    require_classifier(model, 8, 4)
    assert torch.equal(torch.get_rng_state(), before), "the caller's random numbers are left alone"


def test_what_a_forward_pass_keeps_is_fit_for_gradients() -> None:
    class Caching(Net):
        def forward(self, x: Tensor) -> Tensor:
            if not hasattr(self, "scale"):
                self.scale = torch.ones_like(x)
            return self.layer((x * self.scale).mean((2, 3)))

    model = Caching(None).eval()
    require_classifier(model, 8, 4)
    model(torch.randn(1, 3, 8, 8, requires_grad=True)).sum().backward()


def test_batch_norm_without_statistics_is_said() -> None:
    norm, said = nn.BatchNorm2d(4, track_running_stats=False), list[str]()
    model = nn.Sequential(nn.Conv2d(3, 4, 3), norm, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    require_classifier(model.eval(), 8, 4, said.append)
    assert len(said) == 1
    assert said[0].startswith("warning: layer '1' has no running statistics (track_running_stats=False)")


def test_what_is_built_must_be_a_module() -> None:
    assert not module(lambda classes: nn.Linear(2, classes), 5, 8).training
    with pytest.raises(HqpError, match=r"the model's function gives a Tensor; a torch.nn.Module"):
        module(lambda classes: torch.zeros(classes), 5, 8)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_another_precision_becomes_float32_and_that_is_said(kind: torch.dtype) -> None:
    said: list[str] = []
    model = module(lambda classes: nn.Sequential(nn.Conv2d(3, classes, 3), nn.BatchNorm2d(classes)).to(kind), 5, 8)
    module(lambda classes: nn.Linear(3, classes).to(kind), 5, 8, said.append)
    module(lambda classes: nn.Linear(3, classes), 5, 8, said.append)
    assert said == [f"the model's weights are {str(kind)[6:]}: float32 from here on"]
    assert {value.dtype for value in model.state_dict().values()} == {torch.float32, torch.int64}


def test_layers_learn_their_inputs_of_an_image() -> None:
    layers = (nn.LazyConv2d(6, 3), nn.LazyBatchNorm2d(), nn.Flatten())
    model = module(lambda classes: nn.Sequential(*layers, nn.LazyLinear(classes)), 5, 8)
    assert model[0].weight.shape == (6, 3, 3, 3) and model[3].weight.shape == (5, 6 * 6 * 6)  # type: ignore[union-attr, index]
    require_classifier(model, 8, 5)


def test_a_grey_network_in_the_module_that_is_proposed_is_taken() -> None:
    grey = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4 * 6 * 6, 4)).eval()
    said = r"takes images of 1 channels, and HQP gives 3; .*; try: call it with x\[:, :1\]"
    with pytest.raises(HqpError, match=said):
        require_classifier(grey, 8, 3)

    class Grey(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = grey

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.network(x[:, :1])
            return logits

    assert require_classifier(Grey().eval(), 8, 3) == 4
