"""Networks in wrappers: what DataParallel, torch.compile and averaged weights hold is taken out, which is exact.

Fake quantisation and TorchScript are no wrappers of a network but another one; they are refused by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from hqp.errors import HqpError

# What wrappers call the network inside them, and so what they put into the names of weights.
SEGMENTS = ("module", "_orig_mod")

# Where torch, and the packages beside it, keep what simulates or computes in INT8.
QUANTISED = (
    "torchao.quantization",
    "modelopt.torch.quantization",
    "pytorch_quantization",
    "brevitas",
    "torch.ao.quantization.fake_quantize",
    "torch.ao.quantization.observer",
    "torch.ao.nn.qat",
    "torch.ao.nn.intrinsic.qat",
    "torch.ao.nn.quantized.dynamic",
    "torch.ao.nn.quantized.modules.conv",
    "torch.ao.nn.quantized.modules.linear",
    "torch.ao.nn.intrinsic.quantized",
)


def unwrapped(model: nn.Module) -> nn.Module:
    """The network without wrappers about it or about its parts, which are changed in place.

    Raises:
        HqpError: it, or a part of it, is quantised or TorchScript.
    """
    model = _inner(model)
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if _inner(child) is not child:
                setattr(parent, name, _inner(child))
    for name, module in model.named_modules():
        _require_plain(name, module)
        module._compiled_call_impl = None  # set by module.compile()
    return model


def names(name: str) -> Iterator[str]:
    """A weight's name, and what it is without the segments that wrappers put into it, the nearest first."""
    parts = name.split(".")
    places = [place for place, part in enumerate(parts) if part in SEGMENTS]
    for count in range(len(places) + 1):
        for dropped in combinations(places, count):
            yield ".".join(part for place, part in enumerate(parts) if place not in dropped)


def _inner(model: Any) -> nn.Module:
    while True:
        if isinstance(model, DataParallel | DistributedDataParallel | AveragedModel):
            model = model.module
        elif _is_compiled(model):
            model = model._orig_mod
        else:
            inner: nn.Module = model
            return inner


def _is_compiled(model: Any) -> bool:
    """Whether ``torch.compile`` gave it; to ask for the class by name would load the compiler."""
    return type(model).__module__.startswith("torch._dynamo") and hasattr(model, "_orig_mod")


def _require_plain(name: str, module: nn.Module) -> None:
    kind = type(module)
    where = f"layer '{name}'" if name else "the model"
    if isinstance(module, torch.jit.ScriptModule):
        raise HqpError(f"{where} is TorchScript", "the module that it was made of")
    if kind.__module__.startswith(QUANTISED):
        raise HqpError(
            f"{where} is {kind.__module__}.{kind.__name__}: the model is prepared for quantisation already",
            "the float network, which HQP quantises",
        )
