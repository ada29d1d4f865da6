"""The graph that torch's TorchScript exporter writes of a module: the first route, since it is the fast one."""

from __future__ import annotations

import inspect
import io

import onnx
import torch
from onnx import ModelProto
from torch import Tensor, nn

# What it is called, and what a file calls it.
NAME, PRODUCER = "torchscript", "pytorch"


def traced(model: nn.Module, image: Tensor, opset: int, given: str, gives: str) -> ModelProto:
    """The graph of the module, of which ``image`` gives the shape; its nodes are named after their layers.

    Raises:
        OnnxExporterError: an operation has no form in ONNX, or this torch has the exporter no more.
    """
    if "dynamo" not in inspect.signature(torch.onnx.export).parameters:
        raise torch.onnx.OnnxExporterError("this torch has no TorchScript exporter")
    file = io.BytesIO()
    torch.onnx.export(
        model,
        (image,),
        file,
        dynamo=False,
        opset_version=opset,
        input_names=[given],
        output_names=[gives],
    )
    return onnx.load_from_string(file.getvalue())
