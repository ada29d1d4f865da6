"""Recovery without labels or epochs: its other inputs and its normalisation make up for what pruning took from a layer.

*Least squares.* A layer that lost inputs gets the weights W' and the bias that minimise
Σ ‖W x - W' x'‖² + λ ‖W' - W₀‖², where x are the patches that the trained model's layer sees on calibration images, x'
is what is left of them, and W₀ the weights at what is left. The normal equations need nothing but the Gram matrix of
the patches, which one pass over the images gives for all layers at once; any set of channels then costs one linear
system a layer, solved in float64. Source of the idea: Y. He et al., "Channel Pruning for Accelerating Very Deep Neural
Networks", arXiv 1707.06168 (2017), which fits one set of channels on data.

*Batch normalisation.* Means and variances are taken anew from the pruned model's own activations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hqp.compress.groups import Removed
from hqp.compress.patches import as_seen, rows
from hqp.compress.statistics import layers, norms
from hqp.records import Group

# λ as a share of the inputs' mean square: enough where there are fewer patches than weights, next to nothing elsewhere.
RIDGE = 1e-3

# Output positions of an image that are used: neighbours say nearly the same.
POSITIONS = 64

# A layer with more inputs to a filter keeps its weights: its Gram matrix alone would take over 250 MB.
MOST_WEIGHTS = 8192


def losing(model: nn.Module, found: Sequence[Group]) -> list[str]:
    """The layers that are fitted where channels of the groups go."""
    return fitted(model, (member.layer for group in found for member in group.members if member.role == "input"))


def fitted(model: nn.Module, names: Iterable[str]) -> list[str]:
    """Those of the named layers that are fitted, in the model's order: ungrouped ones, not too wide.

    Grouped convolutions keep their weights: with an input they lose its filter.
    """
    wanted = set(names)
    return [name for name, layer in layers(model).items() if name in wanted and _is_fitted(layer)]


def _is_fitted(layer: Any) -> bool:
    return getattr(layer, "groups", 1) == 1 and layer.weight[0].numel() <= MOST_WEIGHTS


@torch.no_grad()
def grams(
    model: nn.Module,
    names: Iterable[str],
    batches: Iterable[Tensor],
    advance: Callable[[int], None] = lambda images: None,
) -> dict[str, Tensor]:
    """The Gram matrix of what each named layer sees, with a one behind each patch: float32 (d + 1, d + 1).

    ``batches`` are images, float32 (n, 3, size, size); the model is in evaluation mode. Sums in float32 are off by a
    millionth, a thousandth of what the ridge adds.
    """
    found: dict[str, Tensor] = {}

    def add(name: str, layer: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        seen = F.pad(rows(layer, as_seen(name, layer, inputs[0], output), POSITIONS).float(), (0, 1), value=1.0)
        found.setdefault(name, torch.zeros(seen.shape[1], seen.shape[1])).addmm_(seen.T, seen)

    with ExitStack() as hooks:
        for name in names:
            hooks.enter_context(model.get_submodule(name).register_forward_hook(partial(add, name)))
        for images in batches:
            model(images)
            advance(len(images))
    return found


@torch.no_grad()
def refit(dense: nn.Module, pruned: nn.Module, removed: Removed, seen: Mapping[str, Tensor]) -> None:
    """Fits, in place, the layers of ``pruned`` that lost inputs, where ``seen`` has their Gram matrix.

    ``removed`` is what ``groups.removed`` says is gone. A layer without a bias gets one.
    """
    for name, gram in seen.items():
        lost = removed.get((name, "input"), frozenset())
        if lost:
            layer, trained = pruned.get_submodule(name), dense.get_submodule(name)
            filters = [one for one in range(len(trained.weight)) if one not in removed.get((name, "filter"), ())]
            _solve(layer, trained, filters, lost, gram)


def _solve(layer: Any, trained: Any, filters: list[int], lost: frozenset[int], gram: Tensor) -> None:
    """Puts the weights and the bias that are least wrong into the layer."""
    inputs, kernel = trained.weight.shape[1], trained.weight[0, 0].numel()
    gone = _columns(lost, kernel)
    left = torch.cat([_columns(set(range(inputs)) - lost, kernel), torch.tensor([inputs * kernel])])  # the bias is last
    weights = trained.weight.detach()[filters].flatten(1).double()
    bias = trained.bias.detach()[filters].double() if trained.bias is not None else weights.new_zeros(len(filters))
    square = gram[left][:, left].double()
    missing = weights[:, gone] @ gram[gone][:, left].double()
    ridge = RIDGE * square.diagonal()[:-1].mean().clamp(min=torch.finfo(torch.float64).tiny)
    square.diagonal()[:-1] += ridge  # the bias is free
    best = torch.cholesky_solve(missing.T, torch.linalg.cholesky(square)).T
    best += torch.cat([weights[:, left[:-1]], bias[:, None]], 1)
    layer.weight.copy_(best[:, :-1].reshape(layer.weight.shape))
    layer.bias = nn.Parameter(best[:, -1].to(layer.weight.dtype))


def _columns(inputs: Iterable[int], kernel: int) -> Tensor:
    """Where the weights of these inputs lie in a flattened filter."""
    return (torch.tensor(sorted(inputs), dtype=torch.long)[:, None] * kernel + torch.arange(kernel)).flatten()


@torch.no_grad()
def renormalise(model: nn.Module, batches: Iterable[Tensor]) -> None:
    """Takes every batch norm's mean and variance anew, in place, as the mean over the batches of what it sees."""
    known = [norm for norm in norms(model).values() if norm.track_running_stats]
    momenta = [norm.momentum for norm in known]
    for norm in known:
        norm.reset_running_stats()
        norm.momentum = None  # a cumulative mean
        norm.train()
    try:
        for images in batches:
            model(images)
    finally:
        for norm, momentum in zip(known, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()
