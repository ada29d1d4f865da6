"""Both of PyTorch's exporters write one network, named alike, in silence; the second where the first is no more."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import onnx
import pytest
import torch
import torchvision
from onnx import ModelProto, helper
from torch import Tensor, nn

from hqp import onnx_rules
from hqp.compress.exporting import export, routes, torch_export, torchscript
from hqp.compress.quantisation.precision import layer_of


class Shuffled(nn.Module):
    """A container in a container, layers that work twice, and halves that part and join."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.body = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.Hardswish())
        self.twice = nn.Sequential(nn.Sequential(nn.ReLU6(), nn.Hardsigmoid()))
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.stem(x).chunk(2, dim=1)
        x = torch.cat((self.twice(self.body(first)), self.twice(second)), 1)
        return self.head(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1))


def written(model: nn.Module, route: ModuleType, path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelProto:
    monkeypatch.setattr(routes, "ROUTES", (route,))
    export.export(model, 32, path)
    assert routes.name_of(path) == route.NAME
    assert onnx_rules.lint(path) == ()
    return onnx.load(path)


def operators(model: ModelProto) -> list[str]:
    """The operators of a file, without those that part a tensor, as which one takes Slice and the other Split."""
    return sorted(node.op_type for node in model.graph.node if node.op_type not in ("Slice", "Split"))


def layers(model: ModelProto) -> list[str]:
    return [layer_of(node.name) for node in model.graph.node if node.op_type in onnx_rules.WEIGHTED]


@pytest.mark.parametrize("build", [Shuffled, lambda: torchvision.models.mobilenet_v3_small(num_classes=5)])
def test_both_write_one_network(
    build: Callable[[], nn.Module], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model = build().eval()
    first, second = (
        written(model, route, tmp_path / "model.onnx", monkeypatch) for route in (torchscript, torch_export)
    )
    assert [version.version for version in second.opset_import] == [export.OPSET]
    assert operators(first) == operators(second)
    assert layers(first) == layers(second)
    assert set(layers(first)) <= dict(model.named_modules()).keys()
    assert not any(node.doc_string or node.metadata_props for node in second.graph.node)


def test_pooling_to_a_size_that_does_not_divide_is_written_by_the_second(tmp_path: Path) -> None:
    export.export(nn.Sequential(nn.AdaptiveAvgPool2d(3), nn.Flatten()), 4, tmp_path / "model.onnx")
    assert routes.name_of(tmp_path / "model.onnx") == "torch.export"
    assert onnx_rules.lint(tmp_path / "model.onnx") == ()


def test_a_torch_without_torchscript_falls_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def later(model: nn.Module, args: tuple[Tensor, ...], opset_version: int) -> None:
        raise AssertionError("asked for TorchScript")

    monkeypatch.setattr(torch.onnx, "export", later)
    with pytest.raises(torch.onnx.OnnxExporterError, match="this torch has no TorchScript exporter"):
        torchscript.traced(nn.Identity(), torch.zeros(1), 17, "input", "logits")


def test_what_a_route_says_by_whatever_way_is_not_heard(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    answer = helper.make_model(helper.make_graph([], "none", [], []))

    def speaking(*given: object) -> ModelProto:
        print("to sys.stdout")
        print("to sys.stderr", file=sys.stderr)
        os.write(1, b"to the file 1")
        os.write(2, b"to the file 2")
        warnings.warn("a warning", stacklevel=1)
        logging.getLogger("onnxscript").error("to a log")
        return answer

    route = ModuleType("route")
    route.__dict__.update(traced=speaking)
    monkeypatch.setattr(routes, "ROUTES", (route,))
    logging.getLogger("onnxscript").addHandler(speaker := logging.StreamHandler(sys.stderr))
    print("before")
    assert routes.traced(nn.Identity(), torch.zeros(1), 17, "input", "logits") is answer
    logging.getLogger("onnxscript").removeHandler(speaker)
    print("after", file=sys.stderr)
    assert capfd.readouterr() == ("before\n", "after\n")
    assert not recwarn.list and logging.root.manager.disable == 0
