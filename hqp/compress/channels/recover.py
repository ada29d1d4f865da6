"""Recovery without labels or epochs: its other inputs and its normalisation make up for what pruning took from a layer.

*Least squares.* A layer that lost inputs gets the weights W' and the bias that minimise
Σ ‖W x - W' x'‖² + λ ‖W' - W₀‖², where x are the patches that the trained model's layer sees on calibration images, x'
is what is left of them, and W₀ the weights at what is left. The normal equations need nothing but the Gram matrix of
the patches, which one pass over the images gives for all layers at once; any set of channels then costs one linear
system a layer, solved in float64. Source of the idea: Y. He et al., "Channel Pruning for Accelerating Very Deep Neural
Networks", arXiv 1707.06168 (2017), which fits one set of channels on data.

*Batch normalisation.* The mean and the variance of what a normalisation sees move by what removal changes of them on
calibration images: mean' = mean + (mean_pruned - mean_whole) and var' = var · var_pruned / var_whole. To take them from
the pruned model alone would forget the images it was trained on, which differ: augmented, say, or of another exposure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hqp.compress.channels.groups import Removed
from hqp.compress.channels.patches import as_seen, rows
from hqp.compress.channels.shrinking import kept
from hqp.compress.network.layers import layers, norms
from hqp.records import Group

# The mean and the variance of what each batch norm sees, (channels,) each, by the norm's name.
Moments = Mapping[str, tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Reference:
    """What a network with all its channels gives on calibration images, by which those without some are recovered.

    ``grams`` and ``outputs`` are by layer, as ``grams`` and ``refitting.wanted`` give them, ``moments`` by batch norm,
    ``logits`` (n, classes) those of the first images. What no variant of the recovery asks for is empty.
    """

    grams: dict[str, Tensor]
    moments: Moments
    outputs: dict[str, Tensor]
    logits: Tensor


# λ as a share of the inputs' mean square: enough where there are fewer patches than weights, next to nothing elsewhere.
RIDGE = 1e-3

# Output positions of an image that are used: neighbours say nearly the same.
POSITIONS = 64

# A layer with more inputs to a filter keeps its weights: its Gram matrix alone would take over 250 MB.
MOST_WEIGHTS = 8192

# A Gram matrix is computed in blocks of so many rows, once so many patches have come together.
GRAM_BLOCK, ROWS_AT_ONCE = 512, 2048


def packed(reference: Reference) -> dict[str, Tensor]:
    """The tensors of a reference by name, as ``unpacked`` takes them."""
    named = {f"gram {name}": gram for name, gram in reference.grams.items()}
    named |= {f"output {name}": output for name, output in reference.outputs.items()}
    for name, (mean, variance) in reference.moments.items():
        named |= {f"mean {name}": mean, f"variance {name}": variance}
    return {**named, "logits": reference.logits}


def unpacked(named: Mapping[str, Tensor]) -> Reference:
    """The inverse of ``packed``."""
    kinds: dict[str, dict[str, Tensor]] = {"gram": {}, "mean": {}, "variance": {}, "output": {}}
    for key, values in named.items():
        kind, _, name = key.partition(" ")
        if name:
            kinds[kind][name] = values
    moments = {name: (mean, kinds["variance"][name]) for name, mean in kinds["mean"].items()}
    return Reference(kinds["gram"], moments, kinds["output"], named["logits"])


def losing(model: nn.Module, found: Sequence[Group]) -> list[str]:
    """The layers that are fitted where channels of the groups go."""
    members = (member for group in found for member in group.members)
    return fitted(model, (member.layer for member in members if member.role == "input"))


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
    positions: int = POSITIONS,
) -> dict[str, Tensor]:
    """The Gram matrix of what each named layer sees, with a one behind each patch: float32 (d + 1, d + 1).

    ``batches`` are images, float32 (n, 3, size, size), of which so many output ``positions`` are used; the model is in
    evaluation mode. Sums in float32 are off by a millionth, a thousandth of what the ridge adds.
    """
    found: dict[str, Tensor] = {}
    # Patches by layer, until there are enough: to add to a wide layer's matrix takes longer than to multiply a few.
    waiting: dict[str, list[Tensor]] = {}

    def add(name: str) -> None:
        found[name] = found.get(name, 0) + gram(torch.cat(waiting.pop(name)))

    def collect(name: str, layer: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        padded = as_seen(name, layer, inputs[0])
        patches = rows(layer, padded, positions).float()
        together = waiting.setdefault(name, [])
        together.append(F.pad(patches, (0, 1), value=1.0))
        if sum(map(len, together)) >= ROWS_AT_ONCE:
            add(name)

    with ExitStack() as hooks:
        for name in names:
            hooks.enter_context(model.get_submodule(name).register_forward_hook(partial(collect, name)))
        for images in batches:
            model(images)
            advance(len(images))
    for name in list(waiting):
        add(name)
    return found


def gram(rows: Tensor) -> Tensor:
    """The product of a matrix (n, d), transposed, with itself, (d, d): half of it is computed, the rest is mirrored."""
    width = rows.shape[1]
    product = rows.new_empty(width, width)
    for first in range(0, width, GRAM_BLOCK):
        last = min(first + GRAM_BLOCK, width)
        product[first:last, first:] = rows[:, first:last].T @ rows[:, first:]
        product[last:, first:last] = product[first:last, last:].T
    return product


@torch.no_grad()
def refit(dense: nn.Module, pruned: nn.Module, removed: Removed, seen: Mapping[str, Tensor]) -> None:
    """Fits, in place, the layers of ``pruned`` that lost inputs, where ``seen`` has their Gram matrix.

    ``removed`` is what ``groups.removed`` says is gone. A layer without a bias gets one.
    """
    for name, gram in seen.items():
        lost = removed.get((name, "input"), frozenset())
        if not lost:
            continue
        layer, trained = pruned.get_submodule(name), dense.get_submodule(name)
        filters_gone = removed.get((name, "filter"), frozenset())
        weights, bias = _left_of(trained, filters_gone)
        best, best_bias = _least_squares(weights, bias, _split(trained, lost), gram)
        layer.weight.copy_(best.reshape(layer.weight.shape))
        layer.bias = nn.Parameter(best_bias.to(layer.weight.dtype))


def _left_of(trained: Any, filters_gone: frozenset[int]) -> tuple[Tensor, Tensor]:
    """The weights of the filters that stay, float64 (filters, d), and their biases, 0 where the layer has none."""
    filters = [index for index in range(len(trained.weight)) if index not in filters_gone]
    weights = trained.weight.detach()[filters].flatten(1).double()
    if trained.bias is None:
        return weights, weights.new_zeros(len(filters))
    return weights, trained.bias.detach()[filters].double()


def _split(trained: Any, lost: frozenset[int]) -> tuple[Tensor, Tensor]:
    """The columns of a flattened filter that stay, and those that go with the inputs that were lost."""
    inputs, kernel = trained.weight.shape[1], trained.weight[0, 0].numel()
    return _columns(set(range(inputs)) - lost, kernel), _columns(lost, kernel)


def _least_squares(
    weights: Tensor, bias: Tensor, columns: tuple[Tensor, Tensor], gram: Tensor
) -> tuple[Tensor, Tensor]:
    """The weights (filters, left) and the biases with which the inputs that stay come nearest to what all of them gave.

    With G the Gram matrix, of which ``s`` are the rows of what stays and ``g`` those of what is gone, the change of the
    weights from W₀ solves ΔW (G_ss + λI) = W_g G_gs.
    """
    left, gone = columns
    # The one behind each patch comes last; its weight is the bias, which always stays.
    left_and_bias = torch.cat([left, torch.tensor([weights.shape[1]])])
    square = gram[left_and_bias][:, left_and_bias].double()
    missing = weights[:, gone] @ gram[gone][:, left_and_bias].double()
    change = solved(square, missing.T).T
    before = torch.cat([weights[:, left], bias[:, None]], 1)
    best = change + before
    return best[:, :-1], best[:, -1]


def solved(square: Tensor, missing: Tensor, ridge: float = RIDGE) -> Tensor:
    """The change (d + 1, filters) of weights and, behind them, biases that makes up for what is missing of the outputs.

    ``square`` is the Gram matrix (d + 1, d + 1) of patches with a one behind each, in float64; ``missing`` (d + 1,
    filters) the product of those patches and what the outputs fall short by. λ is this share, ``ridge``, of the inputs'
    mean square.
    """
    mean_square = square.diagonal()[:-1].mean()
    penalised = square.clone()
    # Where all inputs are 0 any ridge will do, as long as the system can be solved. The bias is free.
    penalised.diagonal()[:-1].add_(ridge * mean_square.clamp(min=torch.finfo(square.dtype).tiny))
    return torch.cholesky_solve(missing, torch.linalg.cholesky(penalised))


def _columns(inputs: Iterable[int], kernel: int) -> Tensor:
    """Where the weights of these inputs lie in a flattened filter."""
    first = torch.tensor(sorted(inputs), dtype=torch.long) * kernel
    return (first[:, None] + torch.arange(kernel)).flatten()


@torch.no_grad()
def moments(model: nn.Module, batches: Iterable[Tensor]) -> Moments:
    """The mean and the variance of what each batch norm sees, as the mean over the batches; the model is left as it is.

    Each normalises by its own batch meanwhile. A batch of one image, of which there may be no variance, is left out.
    """
    batches_seen = 0
    with _averaging(model):
        for images in batches:
            if len(images) > 1:
                model(images)
                batches_seen += 1
        return own_moments(model) if batches_seen else {}


@contextmanager
def _averaging(model: nn.Module) -> Iterator[None]:
    """Inside, batch norms average the statistics of the batches that they see; afterwards they have their own again."""
    known = _with_statistics(model)
    own = {
        name: (norm.running_mean, norm.running_var, norm.num_batches_tracked, norm.momentum)
        for name, norm in known.items()
    }
    for norm in known.values():
        norm.running_mean = torch.zeros_like(norm.running_mean)
        norm.running_var = torch.ones_like(norm.running_var)
        norm.num_batches_tracked = torch.zeros_like(norm.num_batches_tracked)
        norm.momentum = None  # a cumulative mean
        norm.train()
    try:
        yield
    finally:
        for name, norm in known.items():
            norm.running_mean, norm.running_var, norm.num_batches_tracked, norm.momentum = own[name]
            norm.eval()


def own_moments(model: nn.Module) -> Moments:
    """The mean and the variance that each batch norm normalises by."""
    return {name: (norm.running_mean, norm.running_var) for name, norm in _with_statistics(model).items()}


@torch.no_grad()
def moved(pruned: nn.Module, whole: Moments, seen: Moments, removed: Removed) -> Moments:
    """The moments of the pruned model's batch norms, moved by what removal changes of those on calibration images.

    ``whole`` is what ``moments`` gave of the model with all its channels, ``seen`` what it gives of ``pruned``, on the
    same images. Where nothing changed the result is the same to the bit.
    """
    found = {}
    for name, norm in _with_statistics(pruned).items():
        whole_mean, whole_variance = whole[name]
        pruned_mean, pruned_variance = seen[name]
        channels = kept(len(whole_mean), removed.get((name, "norm"), frozenset()))
        shift = pruned_mean - whole_mean[channels]
        # A channel that is as good as constant on these images says nothing: ε keeps its ratio near 1.
        ratio = (pruned_variance + norm.eps) / (whole_variance[channels] + norm.eps)
        found[name] = norm.running_mean + shift, norm.running_var * ratio
    return found


@torch.no_grad()
def normalise_by(model: nn.Module, by: Moments) -> None:
    """Puts the means and the variances into the batch norms."""
    for name, norm in _with_statistics(model).items():
        norm.running_mean, norm.running_var = (values.clone() for values in by[name])


def _with_statistics(model: nn.Module) -> dict[str, Any]:
    return {name: norm for name, norm in norms(model).items() if norm.running_mean is not None}
