"""Which of PyTorch's two exporters writes a module as a graph, and without a word of what it says meanwhile."""

from __future__ import annotations

from pathlib import Path

import torch
from onnx import ModelProto
from torch import Tensor, nn

from hqp import onnx_rules
from hqp.compress.exporting import torch_export, torchscript
from hqp.foreign import silence

# In this order, the next where one is no more in torch or cannot write an operation. TorchScript is deprecated and yet
# first: both write the same network, but of a ResNet-18 it takes 0.4 s of one core and torch.export 1.8 s, of a
# MobileNetV3-Large 0.4 s and 2.9 s, and each candidate that is judged is exported. Besides, torch.export leaves apart
# the batch norm of a layer that works in several places.
ROUTES = (torchscript, torch_export)


def traced(model: nn.Module, image: Tensor, opset: int, given: str, gives: str) -> ModelProto:
    """The graph that the first route writes which can; ``given`` and ``gives`` name its input and its output.

    Raises:
        OnnxExporterError: none can; it says what the first one lacks.
    """
    refusals = []
    for route in ROUTES:
        try:
            # Of what tracing may get wrong it warns wherever a shape becomes a number; where the image does,
            # branches knows.
            with silence():
                return route.traced(model, image, opset, given, gives)
        except torch.onnx.OnnxExporterError as error:
            refusals.append(error)
    raise refusals[0]


def name_of(path: Path) -> str:
    """The name of the route that wrote a file."""
    producer = onnx_rules.read(path).producer_name
    return next((route.NAME for route in ROUTES if producer == route.PRODUCER), "")
