"""What HQP asks of a model: images in, one row of logits for each out."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hqp.errors import HqpError
from hqp.foreign import foreign

# What a forward pass raises on an input that does not suit the network.
FORWARD_ERRORS = (RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError, ArithmeticError)

LOGITS = "one tensor of logits, of shape (batch, classes)"


def module(build: Callable[[int], Any], num_classes: int) -> nn.Module:
    """What ``build`` gives for so many classes, in evaluation mode.

    Raises:
        HqpError: it is no module.
    """
    built = build(num_classes)
    if not isinstance(built, nn.Module):
        raise HqpError(f"the model's function gives a {type(built).__name__}", "a torch.nn.Module")
    return built.eval()


def require_classifier(model: nn.Module, size: int, classes: int) -> None:
    """Runs one black image of ``size`` pixels through the model, to see that it takes it and judges ``classes``.

    Raises:
        HqpError: the model needs several inputs, cannot take that size, gives something other than logits, or fewer of
            them than there are classes.
    """
    needed = [one.name for one in inspect.signature(model.forward).parameters.values() if _is_needed(one)]
    if len(needed) > 1:
        raise HqpError(f"forward of the model needs {len(needed)} inputs ({', '.join(needed)})", "one batch of images")
    parameter = next(model.parameters())
    image = torch.zeros(1, 3, size, size, dtype=parameter.dtype, device=parameter.device)
    refused = f"the network cannot take an image of {size}x{size} pixels"
    with foreign(refused, "the size it was made for", "--input-size 224"), torch.inference_mode():
        output = model(image)
    _require_logits(output, classes)


def _is_needed(parameter: inspect.Parameter) -> bool:
    variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    return parameter.default is parameter.empty and not variadic


def _require_logits(output: Any, classes: int) -> None:
    wrap = "wrap it in a module that returns the logits alone"
    if isinstance(output, Mapping):
        raise HqpError(f"the model returns a dict ({', '.join(map(str, output))})", LOGITS, wrap)
    if isinstance(output, tuple | list):
        raise HqpError(f"the model returns a {type(output).__name__} of {len(output)}", LOGITS, wrap)
    if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != 1:
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise HqpError(f"the model returns {shape} for one image", LOGITS, wrap)
    if output.shape[1] < classes:
        raise HqpError(
            f"the model has {output.shape[1]} outputs, and the labels of the dataset go up to {classes - 1}",
            f"{classes} outputs or more",
        )
