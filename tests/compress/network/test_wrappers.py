"""A network comes out of its wrappers as it was; what is no wrapper but another network is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.ao.quantization import get_default_qat_qconfig, prepare_qat
from torch.optim.swa_utils import AveragedModel

from hqp.compress.network import wrappers
from hqp.errors import HqpError


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda model: model,
        nn.DataParallel,
        AveragedModel,
        torch.compile,
        lambda model: torch.compile(nn.DataParallel(model)),
        lambda model: nn.DataParallel(torch.compile(model)),
    ],
)
def test_a_wrapped_network_is_itself(wrap: Callable[[nn.Module], Any]) -> None:
    model = network()
    found = wrappers.unwrapped(wrap(model))
    assert type(found) is nn.Sequential
    assert found.state_dict().keys() == model.state_dict().keys()
    for name, value in model.state_dict().items():
        assert torch.equal(found.state_dict()[name], value)


def test_a_wrapped_part_is_itself_and_a_child_called_module_stays() -> None:
    model = nn.Module()
    model.features, model.module = nn.DataParallel(network()), nn.Linear(2, 2)
    found = wrappers.unwrapped(model)
    assert found is model
    assert {"features.0.weight", "module.weight"} <= found.state_dict().keys()


def test_a_network_that_compiles_itself_does_not() -> None:
    model = network()
    model.compile()
    assert wrappers.unwrapped(model)._compiled_call_impl is None


def prepared() -> nn.Module:
    model = network().train()
    model.qconfig = get_default_qat_qconfig("x86")
    return prepare_qat(model)


@pytest.mark.filterwarnings("ignore")  # that torch has newer ways
@pytest.mark.parametrize(
    ("model", "said"),
    [
        (prepared, r"layer '\S+' is torch\.ao\.\S+: the model is prepared for quantisation already; the float network"),
        (lambda: torch.jit.script(network()), "the model is TorchScript; the module that it was made of"),
        (lambda: nn.Sequential(torch.jit.script(network())), "layer '0' is TorchScript"),
    ],
)
def test_another_network_is_refused_by_name(model: Callable[[], nn.Module], said: str) -> None:
    with pytest.raises(HqpError, match=said):
        wrappers.unwrapped(model())


@pytest.mark.parametrize("package", ["torchao.quantization.qat.linear", "pytorch_quantization.nn", "brevitas.nn"])
def test_layers_of_other_packages_that_simulate_int8_are_refused(package: str) -> None:
    fake = type("QuantLinear", (nn.Linear,), {"__module__": package})
    with pytest.raises(HqpError, match=rf"layer '0' is {package}\.QuantLinear: the model is prepared for quant"):
        wrappers.unwrapped(nn.Sequential(fake(2, 2)))


def test_stubs_of_a_network_that_is_yet_to_be_quantised_are_let_through() -> None:
    model = nn.Sequential(torch.ao.quantization.QuantStub(), network(), torch.ao.quantization.DeQuantStub())
    assert wrappers.unwrapped(model) is model


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.weight", ["a.weight"]),
        ("module.a.weight", ["module.a.weight", "a.weight"]),
        ("features._orig_mod.0.bias", ["features._orig_mod.0.bias", "features.0.bias"]),
        ("module._orig_mod.a", ["module._orig_mod.a", "_orig_mod.a", "module.a", "a"]),
    ],
)
def test_a_name_is_tried_as_it_is_and_without_what_wrappers_add(name: str, expected: list[str]) -> None:
    assert list(wrappers.names(name)) == expected
