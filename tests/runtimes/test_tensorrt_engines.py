"""NVIDIA's builder makes engines of HQP's files: what the file has in INT8 is INT8 in the engine, and nothing else is.

It is TensorRT for RTX, which builds for GPUs that are not here, and not for those of Jetson boards.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import torchvision
from onnx import numpy_helper
from torch import nn

from hqp import onnx_rules, typings
from hqp.compress.channels import finding, groups
from hqp.compress.exporting.export import export
from hqp.compress.network import plain
from hqp.compress.quantisation import calibrate, qdq, thresholds
from hqp.compress.ranking import steps
from hqp.records import Policy
from hqp.runtimes._tensorrt import nvidia

pytestmark = pytest.mark.skipif(not nvidia.installed(), reason="needs TensorRT for RTX: nox -s tensorrt-contract")

torch.set_num_threads(1)

POLICY = Policy("int8", symmetric=True, float_results=True)
CAPABILITIES = ("80", "86", "89", "120")
SIZE = 64


def pruned(network: nn.Module, share: float = 0.3, multiple: int = 1) -> nn.Module:
    """A network without this share of its filters, about the same of every layer."""
    found = finding.find_groups(network, torch.zeros(1, 3, SIZE, SIZE))
    scores = {group.name: np.arange(group.channels) / group.channels for group in found}
    asked = round(share * sum(groups.sizes(network).values()))
    removal = next(iter(steps.steps(found, steps.ranked(found, scores), asked, multiple)))
    return groups.remove(network, removal, found)


def transformer() -> nn.Module:
    return plain.plain(torchvision.models.VisionTransformer(SIZE, 16, 2, 2, 32, 64, num_classes=5).eval())


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "resnet18": torchvision.models.resnet18,
    "resnet18-pruned": lambda: pruned(torchvision.models.resnet18().eval()),
    "mobilenet_v3_large": torchvision.models.mobilenet_v3_large,
    "mobilenet_v3_large-pruned": lambda: pruned(torchvision.models.mobilenet_v3_large().eval()),
    "mobilenet_v3_large-pruned-by-8": lambda: pruned(torchvision.models.mobilenet_v3_large().eval(), 0.2, 8),
    "shufflenet": torchvision.models.shufflenet_v2_x0_5,
    "efficientnet": torchvision.models.efficientnet_b0,
    "vit": transformer,
}

# So few channels a squeeze-and-excitation reads where this builder makes it a part of the kernel around it.
NARROW = 4


def fused(file: Path) -> set[str]:
    """The layers that this builder makes a part of others, though what they read is INT8 there, too.

    An attention takes in the product before it, and a squeeze-and-excitation of few channels is computed on the way.
    """
    graph = onnx.load(file).graph
    behind = onnx_rules.constants(graph)
    layers = [node for node in graph.node if node.op_type in onnx_rules.WEIGHTED and node.input[1] in behind]
    excitations = {node.name for node in layers if "/fc" in node.name and behind[node.input[1]].dims[1] <= NARROW}
    return excitations | {node.name for node in layers if node.name.endswith("/qkv/MatMul")}


def weighted(file: Path) -> dict[str, bool]:
    """The layers of a file that have weights, and whether these and what the layer reads are INT8."""
    graph = onnx.load(file).graph
    behind = onnx_rules.constants(graph)
    readers = {node.output[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    layers = [node for node in graph.node if node.op_type in onnx_rules.WEIGHTED and node.input[1] in behind]
    return {node.name: readers >= {*node.input[:2]} for node in layers}


def int8_layers(answer: nvidia.Answer, capability: str) -> set[str]:
    """The layers of an engine all of whose inputs are INT8."""
    return {name for name, types in answer.layers[capability].items() if types == ["Int8"]}


@pytest.mark.parametrize("name", NETWORKS)
def test_what_the_file_has_in_int8_is_int8_in_every_engine(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    plain_file, file = tmp_path / "fp32.onnx", tmp_path / "int8.onnx"
    export(NETWORKS[name]().eval(), SIZE, plain_file)
    noise = np.random.default_rng(0).standard_normal((2, 3, SIZE, SIZE), dtype=np.float32)
    seen = calibrate.distributions(plain_file, lambda: [noise], POLICY)
    qdq.quantize(plain_file, file, thresholds.ranges(seen, "minmax", POLICY), POLICY)
    half, floats, fp16 = (tmp_path / f"{kind}.onnx" for kind in ("half", "floats", "fp16"))
    typings.typed(file, half)
    typings.float_weights(file, floats)
    typings.typed(plain_file, fp16)

    for made in (file, half):
        assert onnx_rules.lint(made, symmetric_only=True) == ()
    layers = weighted(file)
    assert len(layers) > 5 and all(layers.values())
    answers = nvidia.ask([file, half, floats, fp16], CAPABILITIES)
    for answer in answers:
        assert (answer.refusals, answer.unbuilt) == ((), {})
    for capability in CAPABILITIES:
        for answer in answers[:3]:
            assert layers.keys() - int8_layers(answer, capability) == fused(file)
        # An FP16 file runs in FP16: where its image and its logits are cast, a generated kernel reads and gives FP32.
        assert not int8_layers(answers[3], capability)
        types = {kind for kinds in answers[3].layers[capability].values() for kind in kinds}
        assert "Half" in types
        named = [answers[3].layers[capability].get(layer) for layer in layers]
        assert all(kinds == ["Half"] for kinds in named if kinds is not None)


def unquantised(file: Path, layer: str, out: Path) -> None:
    """Takes Q and DQ from a layer, as a policy does that calls it FP16."""
    model = onnx.load(file)
    producers = {name: node for node in model.graph.node for name in node.output}
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    node = next(node for node in model.graph.node if node.name == layer)
    reader = producers[node.input[1]]
    integers, scales = (numpy_helper.to_array(stored[name]) for name in reader.input[:2])
    values = integers.astype(np.float32) * typings.along(scales, reader, stored[reader.input[0]])
    model.graph.initializer.append(numpy_helper.from_array(values, "float weight"))
    source = producers[producers[node.input[0]].input[0]].input[0]
    node.input[:2] = [source, "float weight"]
    onnx.save(model, out)


@pytest.mark.parametrize("layer", ["/layer2/layer2.0/conv1/Conv", "/layer3/layer3.1/conv2/Conv"])
def test_a_layer_that_is_fp16_in_the_file_is_not_int8_in_the_engine(layer: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    export(torchvision.models.resnet18().eval(), SIZE, tmp_path / "fp32.onnx")
    ranges = dict.fromkeys(qdq.tensors(tmp_path / "fp32.onnx", POLICY), (-3.0, 3.0))
    qdq.quantize(tmp_path / "fp32.onnx", tmp_path / "int8.onnx", ranges, POLICY)
    unquantised(tmp_path / "int8.onnx", layer, tmp_path / "mixed.onnx")
    typings.typed(tmp_path / "mixed.onnx", tmp_path / "half.onnx")
    layers = weighted(tmp_path / "mixed.onnx")
    assert {name for name, is_int8 in layers.items() if not is_int8} == {layer}
    (answer,) = nvidia.ask([tmp_path / "half.onnx"], ["86"])
    assert layers.keys() - int8_layers(answer, "86") == {layer}
