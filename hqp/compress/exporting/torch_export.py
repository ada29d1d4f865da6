"""The graph that torch's ``torch.export`` exporter writes of a module, spelt as the TorchScript route spells it.

Nodes are named after their layers, since policies, records and repairs read layers from these names; a mean over all
pixels is a GlobalAveragePool, which runtimes have in INT8, where they have no ReduceMean.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator

import onnx
import torch
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper, version_converter
from torch import Tensor, nn

from hqp import onnx_rules

# What it is called, and what a file calls it.
NAME = PRODUCER = "torch.export"

# The oldest opset that the exporter writes.
OLDEST = 18

# The operators that only gained options in it; and attributes that older opsets lack, and that say nothing here.
ONLY_EXTENDED = {"Pad", "Resize", "Split"}
NEW_ATTRIBUTES = ("antialias", "keep_aspect_ratio_policy", "noop_with_empty_axes", "num_outputs")

# Under which key a node holds the names of the modules that it is of, from the outermost on, and last its own.
SCOPES = "pkg.torch.onnx.name_scopes"


def traced(model: nn.Module, image: Tensor, opset: int, given: str, gives: str) -> ModelProto:
    """The graph of the module, of which ``image`` gives the shape; its nodes are named after their layers.

    Raises:
        OnnxExporterError: an operation has no form in ONNX, or not in this opset.
    """
    program = torch.onnx.export(
        model,
        (image,),
        dynamo=True,
        opset_version=OLDEST,
        input_names=[given],
        output_names=[gives],
        verbose=False,
    )
    written = program.model_proto
    _name_nodes(written, model)
    _spell_as_torchscript(written)
    return _of_opset(written, opset)


def _name_nodes(written: ModelProto, model: nn.Module) -> None:
    """Names each node by the path of its layer and its operator: ``/layer1/layer1.0/conv1/Conv``."""
    layers = dict(model.named_modules())
    times: Counter[str] = Counter()
    for node in written.graph.node:
        path = "/".join(["", *_path(_layer(node, layers)), node.op_type])
        node.name = f"{path}_{times[path]}" if times[path] else path
        times[path] += 1
        del node.metadata_props[:]
        node.doc_string = ""


def _layer(node: NodeProto, layers: dict[str, nn.Module]) -> str:
    """The layer that a node is of: that whose weight it takes, since a fused batch norm says that the node is its."""
    if node.op_type in onnx_rules.WEIGHTED and len(node.input) > 1:
        layer, _, weight = node.input[1].rpartition(".")
        if weight == "weight" and layer in layers:
            return layer
    scopes = {entry.key: entry.value for entry in node.metadata_props}.get(SCOPES, "[]")
    return next((name for name in reversed(ast.literal_eval(scopes)) if name in layers), "")


def _path(layer: str) -> Iterator[str]:
    """The parts of a layer's name, of which a number is named after its container."""
    shown = ""
    for part in filter(None, layer.split(".")):
        shown = f"{shown}.{part}" if shown and part.isdigit() else part
        yield shown


def _spell_as_torchscript(written: ModelProto) -> None:
    """Writes a mean over all pixels as GlobalAveragePool, and a reshape to one row as Flatten."""
    shapes = onnx_rules.static_shapes(written)
    constants = {tensor.name: tensor for tensor in written.graph.initializer}
    for node in written.graph.node:
        given, gives = shapes.get(node.input[0], ()) if node.input else (), shapes.get(node.output[0], ())
        if _is_mean_of_pixels(node, given, gives, constants):
            _become(node, "GlobalAveragePool")
        elif node.op_type == "Reshape" and len(given) > 2 and gives[:1] == given[:1] and len(gives) == 2:
            _become(node, "Flatten")


def _is_mean_of_pixels(
    node: NodeProto, given: tuple[int, ...], gives: tuple[int, ...], constants: dict[str, TensorProto]
) -> bool:
    if node.op_type != "ReduceMean" or len(given) != 4 or len(gives) != 4 or len(node.input) < 2:
        return False
    axes = constants.get(node.input[1])
    return axes is not None and sorted(numpy_helper.to_array(axes) % 4) == [2, 3]


def _become(node: NodeProto, operator: str) -> None:
    """Makes of a node another of one input and no attribute."""
    node.name = node.name.replace(node.op_type, operator)
    node.op_type = operator
    del node.input[1:], node.attribute[:]


def _of_opset(written: ModelProto, opset: int) -> ModelProto:
    """The same graph in an older opset, whose number alone changes where the operators did not.

    Raises:
        OnnxExporterError: an operator has no older form.
    """
    del written.graph.value_info[:], written.metadata_props[:]
    written.producer_name, written.producer_version = PRODUCER, torch.__version__
    constants = {tensor.name: tensor for tensor in written.graph.initializer}
    for node in written.graph.node:
        _reduce_as_before(node, opset, constants)
        kept = [attribute for attribute in node.attribute if attribute.name not in NEW_ATTRIBUTES]
        del node.attribute[:]
        node.attribute.extend(kept)
    operators = {node.op_type for node in written.graph.node if not node.op_type.startswith("Reduce")}
    operators -= ONLY_EXTENDED
    if max((onnx.defs.get_schema(name, OLDEST).since_version for name in operators), default=0) > opset:
        try:
            return version_converter.convert_version(written, opset)
        except RuntimeError as error:
            raise torch.onnx.OnnxExporterError(str(error)) from None
    del written.opset_import[:]
    written.opset_import.append(helper.make_opsetid("", opset))
    return written


def _reduce_as_before(node: NodeProto, opset: int, constants: dict[str, TensorProto]) -> None:
    """Gives a reduction its axes as an attribute, where the older opset has no input for them."""
    if not node.op_type.startswith("Reduce") or "axes" not in onnx.defs.get_schema(node.op_type, opset).attributes:
        return
    axes = constants.get(node.input[1]) if len(node.input) > 1 else None
    if axes is not None:
        del node.input[1:]
        node.attribute.append(helper.make_attribute("axes", numpy_helper.to_array(axes).tolist()))
