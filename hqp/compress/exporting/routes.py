"""Which of PyTorch's two exporters writes a module as a graph, and without a word of what it says meanwhile."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TextIO

import torch
from onnx import ModelProto
from torch import Tensor, nn

from hqp import onnx_rules
from hqp.compress.exporting import torch_export, torchscript

# In this order, the next where one is no more in torch or cannot write an operation. TorchScript is deprecated and yet
# first: both write the same network, but of a ResNet-18 it takes 0.4 s of one core and torch.export 1.8 s, of a
# MobileNetV3-Large 0.4 s and 2.9 s, and each candidate that is judged is exported.
ROUTES = (torchscript, torch_export)

STDOUT, STDERR = 1, 2  # the files' numbers


def traced(model: nn.Module, image: Tensor, opset: int, given: str, gives: str) -> ModelProto:
    """The graph that the first route writes which can; ``given`` and ``gives`` name its input and its output.

    Raises:
        OnnxExporterError: none can; it says what the first one lacks.
    """
    refusals = []
    for route in ROUTES:
        try:
            with _silence():
                return route.traced(model, image, opset, given, gives)
        except torch.onnx.OnnxExporterError as error:
            refusals.append(error)
    raise refusals[0]


def name_of(path: Path) -> str:
    """The name of the route that wrote a file."""
    producer = onnx_rules.read(path).producer_name
    return next((route.NAME for route in ROUTES if producer == route.PRODUCER), "")


@contextmanager
def _silence() -> Iterator[None]:
    """Standard output and standard error lead nowhere, and no warning is given.

    Torch writes a graph that it cannot export to standard output, in thousands of lines, and that is done in C++, past
    ``sys.stdout``. That a route is deprecated is known (see ROUTES). Of what tracing may get wrong the tracer warns
    wherever a shape becomes a number; where the image does, branches knows.
    """
    logging_allowed = logging.root.manager.disable
    with ExitStack() as stack:
        nowhere = stack.enter_context(open(os.devnull, "w"))
        stack.enter_context(_leading_to(nowhere, STDOUT, sys.stdout))
        stack.enter_context(_leading_to(nowhere, STDERR, sys.stderr))
        # What Python writes need not go by these files, in a notebook say.
        stack.enter_context(redirect_stdout(nowhere))
        stack.enter_context(redirect_stderr(nowhere))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        stack.callback(logging.disable, logging_allowed)
        logging.disable(logging.CRITICAL)
        yield


@contextmanager
def _leading_to(place: TextIO, number: int, stream: TextIO | None) -> Iterator[None]:
    """A file of the process, by its number, leads to another; ``stream`` writes to it, unless it is closed."""
    if stream is None:
        yield
        return
    stream.flush()
    kept = os.dup(number)
    os.dup2(place.fileno(), number)
    try:
        yield
    finally:
        os.dup2(kept, number)
        os.close(kept)
