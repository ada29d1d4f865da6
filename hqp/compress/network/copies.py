"""Copies of a network that has been used."""

from __future__ import annotations

import copy
import pickle
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from hqp.errors import HqpError

# What deepcopy raises on a value that has no copy: a lock, an open file, a generator.
UNCOPIABLE = (TypeError, pickle.PicklingError, copy.Error)


class _Values(TorchFunctionMode):
    """Copies of a tensor that a forward pass left on the network its values; deepcopy takes none that has a graph."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.__deepcopy__ and not args[0].is_leaf:
            return args[0].detach().clone()
        return func(*args, **(kwargs or {}))


def copied(model: nn.Module) -> nn.Module:
    """A deep copy of the network.

    Raises:
        HqpError: it holds what cannot be copied; the message names the attribute.
    """
    try:
        with _Values():
            return copy.deepcopy(model)
    except UNCOPIABLE as error:
        raise HqpError(
            f"{_culprit(model)} cannot be copied ({error})",
            "a network of tensors and plain values",
            "make it where it is used, or define __deepcopy__",
        ) from None


def _culprit(model: nn.Module) -> str:
    """Whose copy fails: an attribute of a layer, or else the model."""
    for name, module in model.named_modules():
        for attribute, value in vars(module).items():
            if attribute in ("_parameters", "_buffers", "_modules"):
                continue
            try:
                with _Values():
                    copy.deepcopy(value)
            except UNCOPIABLE:
                return f"attribute '{attribute}' of {f'layer {name!r}' if name else 'the model'}"
    return "the model"
