"""Weights fit a model by its names, whatever wrapped it, or are refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file, save_model
from torch import nn
from torch.optim.swa_utils import AveragedModel

from hqp.compress.network import weight_files, weights
from hqp.errors import HqpError


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


def test_a_weight_that_two_layers_share_may_be_in_the_file_once(tmp_path: Path) -> None:
    def build() -> nn.Module:
        model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
        model[1].weight = model[0].weight
        return model

    model, filled = build(), build()
    save_model(model, str(tmp_path / "tied.safetensors"))
    state = weight_files.read(tmp_path / "tied.safetensors")
    assert len(state) == 3
    weights.fill(filled, state, "tied")
    assert torch.equal(filled[0].weight, model[0].weight) and filled[1].weight is filled[0].weight
    with pytest.raises(HqpError, match=r"1\.bias is missing"):
        weights.fill(filled, {name: value for name, value in state.items() if name != "1.bias"}, "tied")


def test_the_number_of_classes_is_read_where_it_alone_keeps_weights_from_fitting() -> None:
    def build(classes: int, width: int = 4) -> nn.Module:
        return nn.Sequential(nn.Linear(width, classes), nn.Conv2d(3, width, 1), nn.BatchNorm2d(width))

    assert weights.outputs(build(3), build(3).state_dict()) is None
    assert weights.outputs(build(3), build(7).state_dict()) == 7
    assert weights.outputs(build(3), {f"module.{name}": value for name, value in build(7).state_dict().items()}) == 7
    assert weights.outputs(build(3), build(7, width=5).state_dict()) is None
    assert weights.outputs(build(3), {"0.weight": torch.zeros(7, 5)}) is None
    assert weights.outputs(build(3), {"0.bias": torch.tensor(1.0)}) is None


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pt"])
def test_a_state_dict_fills_the_model_in_its_own_precision(tmp_path: Path, name: str) -> None:
    state = {key: value.half() if value.is_floating_point() else value for key, value in network().state_dict().items()}
    path = tmp_path / name
    save_file(state, path) if name.endswith("safetensors") else torch.save(state, path)
    model = network()
    weights.fill(model, weight_files.read(path), str(path))
    assert not model.training
    for key, value in model.state_dict().items():
        assert value.dtype == network().state_dict()[key].dtype
        assert torch.equal(value, state[key].to(value.dtype))


@pytest.mark.parametrize("entry", ["", "state_dict", "model", "model_state_dict", "state_dict_ema"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_a_training_script_s_checkpoint_is_understood(tmp_path: Path, entry: str, prefix: str) -> None:
    state, path = network().state_dict(), tmp_path / "weights.pt"
    named = {f"{prefix}{name}": value for name, value in state.items()}
    others = {"epoch": 3, "best": torch.tensor(0.7), "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}}
    torch.save({**others, entry: named} if entry else named, path)
    model = network()
    weights.fill(model, weight_files.read(path), "weights.pt")
    assert all(torch.equal(model.state_dict()[name], value) for name, value in state.items())
    if entry:
        assert weight_files.read(path, entry).keys() == named.keys()


def test_an_averaged_model_s_count_is_no_weight() -> None:
    averaged, model = AveragedModel(network()), network()
    weights.fill(model, averaged.state_dict(), "swa.pt")
    assert torch.equal(model.state_dict()["0.weight"], averaged.module[0].weight)


class Inner(nn.Module):
    """Whose only child is called as DataParallel calls what it holds."""

    def __init__(self) -> None:
        super().__init__()
        self.module = network()


@pytest.mark.parametrize("wrap", [lambda model: model, nn.DataParallel])
def test_a_layer_that_is_called_module_keeps_its_name(wrap: Any) -> None:
    trained, model = Inner(), Inner()
    weights.fill(model, wrap(trained).state_dict(), "weights.pt")
    assert torch.equal(model.state_dict()["module.0.weight"], trained.state_dict()["module.0.weight"])


def test_of_two_weights_that_fit_one_name_none_is_taken() -> None:
    state = {**network().state_dict(), "module.0.weight": torch.zeros(4, 3, 3, 3)}
    with pytest.raises(HqpError, match=r"module\.0\.weight is not in the model"):
        weights.fill(network(), state, "weights.pt")


def test_a_count_that_only_training_reads_may_be_absent() -> None:
    state = {name: value for name, value in network().state_dict().items() if not name.endswith("num_batches_tracked")}
    model = network()
    weights.fill(model, state, "old.pt")
    assert torch.equal(model.state_dict()["0.weight"], state["0.weight"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: state.pop("0.bias"), "0.bias is missing"),
        (lambda state: state.update(extra=torch.zeros(1)), "extra is not in the model"),
        (lambda state: state.update({"3.weight": torch.zeros(5, 4)}), r"3.weight is \(5, 4\), not \(2, 4\)"),
        (lambda state: state["3.weight"].fill_(float("nan")), "holds NaN or infinity in 3.weight"),
        (lambda state: state["0.weight"].fill_(float("inf")), "holds NaN or infinity in 0.weight"),
        (lambda state: state.update({"0.weight": state["0.weight"].to(torch.int8)}), "holds int8 in 0.weight; float"),
        (lambda state: state.update({"0.bias": state["0.bias"].to(torch.complex64)}), "holds complex64 in 0.bias"),
        (lambda state: state.update({"0.bias": state["0.bias"].to(torch.float8_e4m3fn)}), "holds float8_e4m3fn in 0"),
        (lambda state: state.update({"3.weight": state["3.weight"].to_sparse()}), "holds no plain tensor in 3.weight"),
        (lambda state: state.update({"3.weight": state["3.weight"].to("meta")}), "holds no plain tensor in 3.weight"),
        (lambda state: state["1.running_var"][2:].fill_(-0.1), "a negative variance in 1.running_var; variances of 0"),
    ],
)
def test_weights_that_do_not_fit_are_refused(change: Any, said: str) -> None:
    state = {key: value.clone() for key, value in network().state_dict().items()}
    change(state)
    with pytest.raises(HqpError, match=said):
        weights.fill(network(), state, "mine.pt")
