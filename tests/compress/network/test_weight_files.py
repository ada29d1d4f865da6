"""Weight files are data: what is damaged, of another kind, or would run code is refused in one line."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, save_model
from safetensors.torch import save, save_file
from torch import nn

from hqp.compress.network import weight_files
from hqp.errors import Damaged, HqpError


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


class _Code:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("touch ran",)


def test_a_pickle_with_code_in_it_is_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": _Code()}, "code.pt")
    Path("plain.pt").write_bytes(pickle.dumps(_Code()))
    for name in ("code.pt", "plain.pt"):
        with pytest.raises(HqpError) as refused:
            weight_files.read(Path(name))
        assert name in str(refused.value) and "\n" not in str(refused.value)
    assert not Path("ran").exists()


def test_of_several_state_dicts_one_is_asked_for(tmp_path: Path) -> None:
    path, raw, averaged = tmp_path / "timm.pt", network().state_dict(), network().state_dict()
    torch.save({"epoch": 3, "state_dict": raw, "state_dict_ema": averaged}, path)
    with pytest.raises(HqpError) as refused:
        weight_files.read(path)
    assert str(refused.value) == (
        f"{path} holds 2 state dicts: state_dict, state_dict_ema; one of them by name;"
        f" try: --weights {path}:state_dict_ema"
    )
    for entry, state in (("state_dict", raw), ("state_dict_ema", averaged)):
        assert torch.equal(weight_files.read(path, entry)["0.weight"], state["0.weight"])
    with pytest.raises(HqpError, match="has no state dict 'ema'; its state dicts are state_dict, state_dict_ema"):
        weight_files.read(path, "ema")
    save_file(raw, tmp_path / "plain.safetensors")
    with pytest.raises(HqpError, match="has no state dict 'ema'; it is no checkpoint of several entries"):
        weight_files.read(tmp_path / "plain.safetensors", "ema")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"epoch": 3, "model": {}}, "holds a dict of epoch, model; names and tensors, or a checkpoint with such an"),
        ({}, "holds a dict of nothing"),
        ({"state_dict": {"weight": 3}}, "holds a dict of state_dict"),
        ({"a": torch.zeros(1), "epoch": 3}, "holds a state dict in which 'epoch' is the int 3; tensors alone"),
        ({"model": {"a": torch.zeros(1), "b": [1]}}, r"other\.pt:model holds a state dict in which 'b' is list"),
        (3, "holds the int 3"),
        ([torch.zeros(2)], "holds list"),
        (torch.zeros(2), "holds Tensor"),
    ],
)
def test_what_is_no_state_dict_is_refused_with_what_it_is(tmp_path: Path, content: Any, said: str) -> None:
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(HqpError, match=said):
        weight_files.read(tmp_path / "other.pt")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty; a state dict or safetensors"),
        (b"my weights\n", r"is damaged or no weight file \(it begins with b'my weights"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "is a pointer of Git LFS, .* try: git lfs pull"),
        (b"\x89HDF\r\n\x1a\n", "is HDF5, as Keras writes it"),
        (b"\x93NUMPY\x01\x00", "is a NumPy array"),
        (b"PK\x03\x04 and no more", "is damaged or no weight file"),
    ],
)
def test_a_file_of_another_kind_is_known_by_its_content(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "weights.pt").write_bytes(content)
    with pytest.raises(HqpError, match=said):
        weight_files.read(tmp_path / "weights.pt")


def test_safetensors_are_read_under_any_name(tmp_path: Path) -> None:
    state = network().state_dict()
    (tmp_path / "weights.pt").write_bytes(save(state))
    assert torch.equal(weight_files.read(tmp_path / "weights.pt")["0.weight"], state["0.weight"])
    torch.save(state, tmp_path / "weights.safetensors")
    assert torch.equal(weight_files.read(tmp_path / "weights.safetensors")["0.weight"], state["0.weight"])


@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
def test_an_onnx_file_is_called_one(tmp_path: Path, name: str) -> None:
    graph = helper.make_graph([], "empty", [], [])
    save_model(helper.make_model(graph), tmp_path / name)
    with pytest.raises(HqpError, match="is an ONNX file, and HQP prunes modules of torch"):
        weight_files.read(tmp_path / name)


@pytest.mark.filterwarnings("ignore")  # that torch has newer ways
def test_torchscript_is_called_so_and_not_run(tmp_path: Path) -> None:
    torch.jit.script(network()).save(tmp_path / "weights.pt")
    with pytest.raises(HqpError, match="is TorchScript, which holds code") as refused:
        weight_files.read(tmp_path / "weights.pt")
    assert "weights_only" not in str(refused.value)


def test_a_missing_file_says_what_makes_it(tmp_path: Path) -> None:
    with pytest.raises(HqpError, match=r"there is no weight file .*; try: hqp train"):
        weight_files.read(tmp_path / "none.safetensors")


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_a_file_cut_off_anywhere_is_damaged(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    whole = save(network().state_dict())
    path = tmp_path_factory.mktemp("cut") / "weights.safetensors"
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(Damaged, match=r"is damaged or no weight file|is empty"):
        weight_files.read(path)
