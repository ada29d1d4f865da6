"""Evaluation mode: for a while, and what holds in it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode; the mode of each of its modules is restored."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def normalising_by_batch(model: nn.Module) -> str:
    """The name of a layer that in evaluation mode normalises by the statistics of its batch, or ''.

    With such a layer the logits of an image depend on the images beside it.
    """
    names = (name for name, module in model.named_modules() if isinstance(module, _BatchNorm) and _by_batch(module))
    return next(names, "")


def _by_batch(norm: _BatchNorm) -> bool:
    return norm.running_mean is None and norm.running_var is None


def most_at_once(model: nn.Module) -> int:
    """How many images at once give each what it gets alone, as a file that is shipped sees them."""
    return 1 if normalising_by_batch(model) else sys.maxsize
