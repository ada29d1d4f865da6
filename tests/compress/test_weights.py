"""Weight files are data: what does not fit, is damaged, or would run code is refused in one line."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save, save_file
from torch import nn

from hqp.compress import weights
from hqp.errors import Damaged, HqpError


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pt"])
def test_a_state_dict_fills_the_model_in_its_own_precision(tmp_path: Path, name: str) -> None:
    state = {key: value.half() if value.is_floating_point() else value for key, value in network().state_dict().items()}
    path = tmp_path / name
    save_file(state, path) if name.endswith("safetensors") else torch.save(state, path)
    model = network()
    weights.fill(model, weights.read(path), str(path))
    assert not model.training
    for key, value in model.state_dict().items():
        assert value.dtype == network().state_dict()[key].dtype
        assert torch.equal(value, state[key].to(value.dtype))


class _Code:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("touch ran",)


def test_a_pickle_with_code_in_it_is_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": _Code()}, "code.pt")
    Path("plain.pt").write_bytes(pickle.dumps(_Code()))
    for name in ("code.pt", "plain.pt"):
        with pytest.raises(HqpError) as refused:
            weights.read(Path(name))
        assert name in str(refused.value) and "\n" not in str(refused.value)
    assert not Path("ran").exists()


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_training_script_s_checkpoint_is_understood(tmp_path: Path, wrapped: bool, prefix: str) -> None:
    state = network().state_dict()
    named = {f"{prefix}{name}": value for name, value in state.items()}
    torch.save({"epoch": 3, "state_dict": named} if wrapped else named, tmp_path / "weights.pt")
    read = weights.read(tmp_path / "weights.pt")
    assert read.keys() == state.keys()
    assert all(torch.equal(read[name], value) for name, value in state.items())


def test_a_layer_that_is_called_module_keeps_its_name(tmp_path: Path) -> None:
    torch.save({"module.a": torch.zeros(1), "b": torch.zeros(1)}, tmp_path / "weights.pt")
    assert weights.read(tmp_path / "weights.pt").keys() == {"module.a", "b"}


def test_a_count_that_only_training_reads_may_be_absent() -> None:
    state = {name: value for name, value in network().state_dict().items() if not name.endswith("num_batches_tracked")}
    model = network()
    weights.fill(model, state, "old.pt")
    assert torch.equal(model.state_dict()["0.weight"], state["0.weight"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"epoch": 3, "model": {}}, "holds a dict of epoch, model; names and tensors, or such a state dict under"),
        ({}, "holds a dict of nothing"),
        ({"state_dict": {"weight": 3}}, "holds a dict of weight"),
        ([torch.zeros(2)], "holds list"),
        (torch.zeros(2), "holds Tensor"),
    ],
)
def test_what_is_no_state_dict_is_refused_with_what_it_is(tmp_path: Path, content: Any, said: str) -> None:
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(HqpError, match=said):
        weights.read(tmp_path / "other.pt")


def test_a_missing_file_says_what_makes_it(tmp_path: Path) -> None:
    with pytest.raises(HqpError, match=r"there is no weight file .*; try: hqp train"):
        weights.read(tmp_path / "none.safetensors")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: state.pop("0.bias"), "0.bias is missing"),
        (lambda state: state.update(extra=torch.zeros(1)), "extra is not in the model"),
        (lambda state: state.update({"3.weight": torch.zeros(5, 4)}), r"3.weight is \(5, 4\), not \(2, 4\)"),
        (lambda state: state["3.weight"].fill_(float("nan")), "holds NaN or infinity in 3.weight"),
        (lambda state: state["0.weight"].fill_(float("inf")), "holds NaN or infinity in 0.weight"),
    ],
)
def test_weights_that_do_not_fit_are_refused(change: Any, said: str) -> None:
    state = {key: value.clone() for key, value in network().state_dict().items()}
    change(state)
    with pytest.raises(HqpError, match=said):
        weights.fill(network(), state, "mine.pt")


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_a_file_cut_off_anywhere_is_damaged(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    whole = save(network().state_dict())
    path = tmp_path_factory.mktemp("cut") / "weights.safetensors"
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(Damaged, match="is damaged or no weight file"):
        weights.read(path)
