"""What other tools make of a network is an INT8 file that onnxruntime runs, near to FP32 and within the bound."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto
from torch import nn

from hqp import catalog
from hqp.compress.exporting import export
from hqp.compress.studies.peers import peers, torch_pruning_nncf
from hqp.compress.studies.peers._given import Array, Given

SIZE, CLASSES = 8, 3
PRUNED = "torch-pruning (Taylor groups), nncf quantize"

torch.set_num_threads(1)


def there(name: str) -> ModuleType:
    """The tool, where what it needs is installed."""
    tool = peers()[name]
    absent = catalog.missing(tool)
    if absent:
        pytest.skip(f"{', '.join(absent)} is installed by `nox -s perf -- peers` alone")
    return tool


def network() -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 32, 3, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 4, 3), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(64, CLASSES)).eval()


def given(folder: Path, top1: Callable[[Path], float] = lambda file: 90.0) -> Given:
    model, plain = network(), folder / "plain.onnx"
    export.export(model, SIZE, plain)
    images = np.random.default_rng(0).standard_normal((12, 3, SIZE, SIZE), dtype=np.float32)
    return Given(model, plain, images, np.arange(12) % CLASSES, top1, delta_max_pp=1.5)


def logits(file: Path, images: Array) -> Array:
    session = onnxruntime.InferenceSession(file)
    return np.concatenate([session.run(None, {"input": image[None]})[0] for image in images])


def weights(file: Path) -> list[TensorProto]:
    return [tensor for tensor in onnx.load(file).graph.initializer if len(tensor.dims) > 1]


def filters(file: Path) -> int:
    """Of the first convolution."""
    return next(tensor.dims[0] for tensor in weights(file) if tensor.dims[1:] == [3, 3, 3])


def test_the_tools_of_the_comparison() -> None:
    assert list(peers()) == [
        "nncf quantize_with_accuracy_control",
        "nncf quantize",
        "nncf quantize, full bias correction",
        "onnxruntime quantize_static",
        PRUNED,
    ]


@pytest.mark.parametrize("name", [name for name in peers() if name != PRUNED])
def test_each_writes_int8_weights_that_give_what_fp32_gives(name: str, tmp_path: Path) -> None:
    tool, at_hand, out = there(name), given(tmp_path), tmp_path / "out.onnx"
    tool.make(at_hand, out)
    assert {tensor.data_type for tensor in weights(out)} == {TensorProto.INT8}
    exact, found = logits(at_hand.plain, at_hand.images), logits(out, at_hand.images)
    assert np.abs(found - exact).max() < 0.05 * np.ptp(exact)


def test_with_accuracy_control_layers_stay_float_until_the_bound_holds(tmp_path: Path) -> None:
    def top1(file: Path) -> float:
        return 80.0 if "QuantizeLinear" in {node.op_type for node in onnx.load(file).graph.node} else 90.0

    tool, out = there("nncf quantize_with_accuracy_control"), tmp_path / "out.onnx"
    tool.make(given(tmp_path, top1), out)
    assert {tensor.data_type for tensor in weights(out)} == {TensorProto.FLOAT}


@pytest.mark.parametrize(("least", "left"), [(0, 16), (24, 24), (32, 32)])
def test_the_deepest_pruning_within_the_bound_is_kept(least: int, left: int, tmp_path: Path) -> None:
    tool, out = there(PRUNED), tmp_path / "out.onnx"
    tool.make(given(tmp_path, lambda file: 90.0 if filters(file) >= least else 88.4), out)
    assert filters(out) == left
    assert {tensor.data_type for tensor in weights(out)} == {TensorProto.INT8}


def test_channels_of_least_importance_go_and_norms_are_estimated_anew(tmp_path: Path) -> None:
    pytest.importorskip("torch_pruning")
    at_hand = given(tmp_path)
    with torch.no_grad():
        at_hand.model[0].weight[8:16] *= 1e-6
    pruned = torch_pruning_nncf.prune(at_hand, 0.2)
    kept = [*range(8), *range(16, 32)]
    assert torch.equal(pruned[0].weight, at_hand.model[0].weight[kept])
    seen = pruned[0](torch.from_numpy(at_hand.images)).detach()
    assert torch.allclose(pruned[1].running_mean, seen.mean((0, 2, 3)), atol=1e-6)
    assert at_hand.model[0].weight.shape[0] == 32 and not pruned.training
