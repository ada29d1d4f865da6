"""NVIDIA's own parser and builder take the files of the symmetric policy, run their layers in INT8, and refuse what the
lint refuses.

They come with TensorRT for RTX, which needs no GPU: pip install tensorrt-rtx-cu13-bindings tensorrt-rtx-cu13-libs
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import torchvision
from onnx import ModelProto, TensorProto, helper, numpy_helper
from torch import nn

from hqp import onnx_rules
from hqp.compress.exporting.export import export
from hqp.compress.quantisation import calibrate
from hqp.compress.quantisation.qdq import quantize
from hqp.records import Policy

pytest.importorskip(
    "tensorrt_rtx_bindings", reason="TensorRT for RTX is not installed: tensorrt-rtx-cu13-bindings and -libs"
)

torch.set_num_threads(1)

# What comes out: for each file why it was refused, or the names of the engine's layers whose every input is INT8. A
# process of its own, since a builder that is freed before its parser ends it.
ASK = r"""
import json, re, sys
import tensorrt_rtx_bindings as trt

LAYER = re.compile(r"^Name: (\S+?)(?:_myl\d+_\d+)?, LayerType: \w+, Inputs: (.*?)(?:, Constants|, Outputs)")

class Log(trt.ILogger):
    def __init__(self):
        super().__init__()
        self.lines = []
    def log(self, severity, message):
        self.lines += message.splitlines()

def ask(file):
    log = Log()
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    if not parser.parse(open(file, "rb").read()):
        reasons = [parser.get_error(index).desc() for index in range(parser.num_errors)]
        del parser, network, builder
        return {"refused": reasons, "int8": []}
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM86, 0)
    plan = builder.build_serialized_network(network, config)
    layers = {found[1]: set(re.findall(r"Datatype: (\w+)", found[2])) for found in map(LAYER.match, log.lines) if found}
    refused = [] if plan is not None else log.lines
    del parser, network, builder
    return {"refused": refused, "int8": [name for name, types in layers.items() if types == {"Int8"}]}

print(json.dumps([ask(file) for file in sys.argv[1:]]))
"""


def asked(*files: Path) -> list[dict[str, list[str]]]:
    """What NVIDIA says of each file, engines being built for compute capability 8.6."""
    done = subprocess.run([sys.executable, "-c", ASK, *map(str, files)], capture_output=True, text=True, check=True)
    answers: list[dict[str, list[str]]] = json.loads(done.stdout.splitlines()[-1])
    return answers


def transformer() -> nn.Module:
    from hqp.compress.network import plain

    return plain.plain(torchvision.models.VisionTransformer(64, 16, 1, 2, 32, 64, num_classes=5).eval())


BUILDS: dict[str, Callable[[], nn.Module]] = {
    "resnet18": torchvision.models.resnet18,
    "mobilenet_v3_large": torchvision.models.mobilenet_v3_large,
    "transformer": transformer,
}

# What this builder runs in float though its inputs are INT8: it fuses the product before an attention into that.
FLOAT = {"transformer": {"/encoder/layers/encoder_layer_0/self_attention/qkv/MatMul"}}

POLICY = Policy("int8", symmetric=True, float_results=True)


@pytest.mark.parametrize("name", BUILDS)
def test_nvidia_builds_the_file_and_runs_its_weighted_layers_in_int8(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    export(BUILDS[name](), 64, tmp_path / "fp32.onnx")
    noise = np.random.default_rng(0).standard_normal((2, 3, 64, 64), dtype=np.float32)
    seen = calibrate.distributions(tmp_path / "fp32.onnx", lambda: [noise], POLICY)
    ranges = calibrate.ranges(seen, "minmax", POLICY)
    quantize(tmp_path / "fp32.onnx", tmp_path / "int8.onnx", ranges, POLICY)
    assert onnx_rules.lint(tmp_path / "int8.onnx", symmetric_only=True) == ()
    (answer,) = asked(tmp_path / "int8.onnx")
    assert answer["refused"] == []
    graph = onnx.load(tmp_path / "int8.onnx").graph
    behind = onnx_rules.constants(graph)
    weighted = {node.name for node in graph.node if node.op_type in onnx_rules.WEIGHTED and node.input[1] in behind}
    assert len(weighted) > 5
    assert weighted - set(answer["int8"]) == FLOAT.get(name, set())


def quantised() -> ModelProto:
    """A convolution in QDQ form with its bias in float."""
    arrays = {
        "scale": np.array(0.1, np.float32),
        "zero": np.array(0, np.int8),
        "weight": (np.arange(144) % 7 - 3).astype(np.int8).reshape(4, 4, 3, 3),
        "weight_scale": np.full(4, 0.5, np.float32),
        "weight_zero": np.zeros(4, np.int8),
        "bias": np.ones(4, np.float32),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["input", "scale", "zero"], ["bytes"], "q"),
        helper.make_node("DequantizeLinear", ["bytes", "scale", "zero"], ["again"], "dq"),
        helper.make_node("DequantizeLinear", ["weight", "weight_scale", "weight_zero"], ["filter"], "w", axis=0),
        helper.make_node("Conv", ["again", "filter", "bias"], ["logits"], "conv"),
    ]
    source = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 4, 5, 5])
    target = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 4, 3, 3])
    tensors = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = helper.make_graph(nodes, "small", [source], [target], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def put(name: str, array: Any) -> Callable[[ModelProto], None]:
    def change(model: ModelProto) -> None:
        tensor = next(tensor for tensor in model.graph.initializer if tensor.name == name)
        tensor.CopyFrom(numpy_helper.from_array(np.array(array), name))

    return change


def integer_bias(model: ModelProto) -> None:
    put("bias", np.ones(4, np.int32))(model)
    model.graph.initializer.append(numpy_helper.from_array(np.full(4, 0.05, np.float32), "bias_scale"))
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(4, np.int32), "bias_zero"))
    reader = helper.make_node("DequantizeLinear", ["bias", "bias_scale", "bias_zero"], ["summand"], "b", axis=0)
    model.graph.node.insert(0, reader)
    model.graph.node[-1].input[2] = "summand"


def wrong_axis(model: ModelProto) -> None:
    model.graph.node[2].attribute[0].i = 1


def without_zero_point(model: ModelProto) -> None:
    del model.graph.node[2].input[2]


def newer_opset(model: ModelProto) -> None:
    model.opset_import[0].version = 19


REFUSED = {
    "int32 bias": integer_bias,
    "zero point 3": put("zero", np.int8(3)),
    "unsigned zero point 128": put("zero", np.uint8(128)),
    "scale 0": put("scale", np.float32(0)),
    "negative scale": put("scale", np.float32(-0.1)),
    "NaN for a scale": put("scale", np.float32("nan")),
    "five scales for four channels": put("weight_scale", np.full(5, 0.5, np.float32)),
}
# Where the lint is stricter than this parser, and why.
STRICTER = {
    "infinite scale": (put("scale", np.float32("inf")), "parsed, and every value is 0 or NaN"),
    "axis 1": (wrong_axis, "parsed, and the layer is not INT8"),
    "no zero point": (without_zero_point, "TensorRT 8 demands it"),
    "unsigned zero point 0": (put("zero", np.uint8(0)), "TensorRT 8 and 10 have no unsigned INT8"),
    "opset 19": (newer_opset, "TensorRT 8.5 reads 17 at most"),
}


def test_the_lint_says_what_the_parser_says_or_is_stricter_for_a_reason(tmp_path: Path) -> None:
    changes = {**REFUSED, **{name: change for name, (change, _) in STRICTER.items()}}
    files = [tmp_path / "right.onnx"]
    files[0].write_bytes(quantised().SerializeToString())
    for name, change in changes.items():
        model = quantised()
        change(model)
        files.append(tmp_path / f"{name}.onnx")
        files[-1].write_bytes(model.SerializeToString())
    refused = {file.stem for file, answer in zip(files, asked(*files), strict=True) if answer["refused"]}
    linted = {file.stem for file in files if onnx_rules.lint(file, symmetric_only=True)}
    assert refused == set(REFUSED)
    assert linted == set(REFUSED) | set(STRICTER)
