"""How images and weights lie in memory: channels last where a network's code takes it, which a CPU is faster with."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from hqp.compress.network.evaluation_mode import evaluating
from hqp.errors import HqpError
from hqp.foreign import foreign


def fitted(model: nn.Module, *examples: Tensor) -> torch.memory_format:
    """The order in which the network takes images of the examples' sizes; its weights are laid out alike, in place.

    Channels last makes a CPU about a third faster, and changes nothing but rounding. Code that counts on another order,
    ``x.view(len(x), -1)`` after a convolution, fails with it: such a network gets its images as they come.
    """
    if _takes(model, examples, torch.channels_last):
        return torch.channels_last
    _lay_out(model, torch.contiguous_format)
    return torch.contiguous_format


def _takes(model: nn.Module, examples: tuple[Tensor, ...], order: torch.memory_format) -> bool:
    if any(example.ndim != 4 for example in examples):
        return False
    _lay_out(model, order)
    try:
        # Not inference_mode: what a forward pass keeps for later ones must be fit for gradients.
        with foreign("the images' order"), evaluating(model), torch.no_grad(), torch.random.fork_rng():
            for example in examples:
                model(example.contiguous(memory_format=order))
    except HqpError:
        return False
    return True


def _lay_out(model: nn.Module, order: torch.memory_format) -> None:
    """As ``model.to(memory_format=order)``, which refuses a model that has a tensor of five dimensions."""
    for tensor in itertools.chain(model.parameters(), model.buffers()):
        if tensor.ndim == 4:
            tensor.data = tensor.data.to(memory_format=order)
