"""The activation ranges that quantisation needs, streamed: what is kept does not grow with the number of images.

Of each tensor only its lowest and highest value and one histogram of |x| are kept. The width of a bin is a power of two
and doubles when a larger value comes, whereby pairs of bins become one: one pass is enough, nothing is lost, and the
result does not depend on the order of the images.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto, helper

from hqp import onnx_rules
from hqp.compress.quantisation import qdq
from hqp.errors import HqpError
from hqp.records import Calibration, Policy

BINS = 2048  # as TensorRT's own search
LEVELS = 128  # magnitudes of a signed byte
# By how much the range of all values may exceed that of ``PERCENTILE`` of them before it is told as an outlier's.
OUTLIER = 4.0
# Kept bins per searched bin, so that resampling to exactly BINS over the range seen leaves at least two to each.
FINENESS = 4
# How many values of a tensor are counted of one image, evenly spread; its lowest and highest are of all of them. Of 512
# images these are two million values: the share beyond a percentile of 99.99% is known to within 7% of itself.
COUNTED = 4096
# An image's counts are multiplied by a power of two, from 2**-16 to 2**16, so that sums are exact in any order.
MOST_SHIFT = 16
# Below 2**-64 all is one bin: nothing a network computes with is that small, and its inverse still fits a float32.
LEAST_EXPONENT = -64

Array = npt.NDArray[np.float32]
Counts = npt.NDArray[np.float64]
Range = tuple[float, float]
Item = TypeVar("Item")
Result = TypeVar("Result")

# The share that KL may cut off. Of trained networks' activations it cuts at most half a percent (MobileNetV3-Large);
# where nothing lies near zero it sees one spike at any small threshold, finds no divergence, and would cut nearly all.
MOST_CLIPPED = 0.01
# What stays inside of a percentile's threshold. Source: H. Wu et al., "Integer quantization for deep learning
# inference", arXiv 2004.09602 (2020), of whose percentiles it lost least.
PERCENTILE = 0.9999

DEFAULT_POLICY = Policy()


class NotFinite(HqpError):
    """An activation was NaN or infinite on an image."""

    def __init__(self, layer: str) -> None:
        super().__init__(f"calibration met NaN or infinity in {layer}", "finite weights and images")
        self.layer = layer


def distributions(
    path: Path,
    batches: Callable[[], Iterable[Array]],
    policy: Policy = DEFAULT_POLICY,
    advance: Callable[[int], None] | None = None,
    left_out: list[str] | None = None,
) -> dict[str, Distribution]:
    """What is seen of each tensor that ``policy`` quantises, in the order of the graph.

    ``batches()`` gives float32 arrays (n, 3, size, size), normalised; the FP32 file at ``path`` runs in onnxruntime on
    single images, in as many threads as torch has. ``advance`` gets the number of images just seen.

    An image on which a tensor is NaN or infinite is not taken in where ``left_out`` is given, which gets its layer.

    Raises:
        NotFinite: a tensor is NaN or infinite on some image.
        HqpError: there are no images.
    """
    import onnxruntime

    names = qdq.tensors(path, policy)
    if not names:
        return {}
    source, file = _with_outputs(path, names)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # the threads are at work on images of their own
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    inner = [name for name in names if name != source]
    layers = _layers(path)
    seen = {name: Distribution(layers.get(name, name)) for name in names}

    def activations(image: Array) -> dict[str, Array]:
        values = dict(zip(inner, session.run(inner, {source: image[None]}), strict=True))
        return {source: image, **values} if source in names else values

    images, threads = 0, torch.get_num_threads()
    with ThreadPoolExecutor(threads) as pool:
        for batch in batches():
            # What is counted here is seen there meanwhile: counting in more than one thread takes no less.
            for values in _ahead(pool, threads, activations, batch):
                # Looked at beforehand only where it may be left out: that takes as long as half of what follows.
                wrong = None if left_out is None else _not_finite(values)
                if left_out is not None and wrong is not None:
                    left_out.append(layers.get(wrong, wrong))
                    continue
                for name, value in values.items():
                    seen[name].add(value)
            images += len(batch)
            if advance is not None:
                advance(len(batch))
    if not images or (left_out and len(left_out) == images):
        raise HqpError("calibration got no images", "at least one; 500 or more for a good range")
    return seen


def _ahead(
    pool: ThreadPoolExecutor, most: int, work: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[Result]:
    """What ``work`` gives of each item, in order, with ``most`` of those that follow at work meanwhile."""
    waiting: deque[Future[Result]] = deque()
    for item in items:
        waiting.append(pool.submit(work, item))
        if len(waiting) > most:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def ranges(seen: Mapping[str, Distribution], how: Calibration, policy: Policy = DEFAULT_POLICY) -> dict[str, Range]:
    """The range of each tensor, always with 0 inside: its lowest and highest value, cut at ±T.

    T is for ``minmax`` the largest magnitude, for ``percentile`` what ``PERCENTILE`` of the magnitudes above zero lie
    below, for ``kl`` by ``kl_bins``, for ``mse`` by ``mse_bins``, with each image's errors over its root mean square:
    else the few images on which a gate opens wide would decide how finely all others are told.
    """
    found = {}
    for name, one in seen.items():
        threshold = _threshold(one, how, policy)
        found[name] = max(one.low, -threshold), min(one.high, threshold)
    return found


def outliers(seen: Mapping[str, Distribution]) -> dict[str, float]:
    """How many times as wide as that of ``PERCENTILE`` of its values the range of a tensor is, where that is much."""
    whole, cut = ranges(seen, "minmax"), ranges(seen, "percentile")
    found = {}
    for name, (low, high) in whole.items():
        width = cut[name][1] - cut[name][0]
        if width > 0 and (high - low) / width > OUTLIER:
            found[name] = (high - low) / width
    return found


def mean_squares(seen: Mapping[str, Distribution]) -> dict[str, float]:
    """The mean square of the values of each tensor."""
    return {name: one.mean_square for name, one in seen.items()}


def _threshold(seen: Distribution, how: Calibration, policy: Policy) -> float:
    if how == "minmax" or not seen.counts.any():
        return seen.largest
    counts = seen.resampled(seen.relative if how == "mse" else seen.counts)
    levels = _levels(seen, policy)
    if how == "percentile":
        kept = percentile_bins(counts)
    elif how == "mse":
        kept = mse_bins(counts, levels)
    else:
        kept = kl_bins(counts, levels)
    return seen.largest * kept / BINS


def _levels(seen: Distribution, policy: Policy) -> int:
    """How many levels the larger side of a tensor gets: 128 of a signed one, 256 of one that is never negative."""
    if policy.symmetric:
        return LEVELS
    return round(2 * LEVELS * seen.largest / (seen.high - seen.low))


@dataclass
class Distribution:
    """What is kept of a tensor: its extremes, and counts of |x| > 0 in bins of equal width from 0 to 2**exponent.

    ``name`` is that of the layer that gives it. Extremes are of all values, counts of ``COUNTED`` to an image, of which
    ``zeros`` are 0. ``relative`` are the same counts, each image's over the root mean square of its values, as a power
    of two.

    Exact zeros are not counted. They are represented without error at any threshold, and half of what a ReLU gives are
    zeros, which in the first bin would outweigh all else.
    """

    name: str
    low: float = 0.0
    high: float = 0.0
    exponent: int = LEAST_EXPONENT
    zeros: int = 0
    counts: Counts = field(default_factory=lambda: np.zeros(BINS * FINENESS))
    relative: Counts = field(default_factory=lambda: np.zeros(BINS * FINENESS))

    def add(self, values: Array) -> None:
        """Takes in the values of one image.

        Raises:
            NotFinite: one of them is NaN or infinite.
        """
        low, high = float(values.min()), float(values.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            raise NotFinite(self.name)
        self.low, self.high = min(self.low, low), max(self.high, high)
        magnitudes = np.abs(_spread(values))
        zeros = magnitudes.size - int(np.count_nonzero(magnitudes))
        self.zeros += zeros
        if self.largest:
            _, exponent = math.frexp(self.largest)
            self._widen(exponent)
        if zeros == magnitudes.size:
            return

        bins = len(self.counts)
        positions = magnitudes * np.float32(bins / 2.0**self.exponent)
        counts = np.bincount(positions.astype(np.intp), minlength=bins)
        counts[0] -= zeros
        self.counts += counts
        # Float32 would not hold the squares of very large values.
        wide = magnitudes.astype(np.float64)
        _, exponent = math.frexp(math.sqrt(wide @ wide / wide.size))
        self.relative += counts * 2.0 ** max(-MOST_SHIFT, min(-exponent, MOST_SHIFT))

    @property
    def largest(self) -> float:
        """The largest magnitude seen."""
        return max(-self.low, self.high)

    @property
    def mean_square(self) -> float:
        """The mean square of the values, each as it were in the middle of its bin."""
        bins = len(self.counts)
        width = 2.0**self.exponent / bins
        middles = (np.arange(bins) + 0.5) * width
        squares = self.counts * middles**2
        return float(squares.sum() / (self.counts.sum() + self.zeros))

    def _widen(self, exponent: int) -> None:
        if exponent <= self.exponent:
            return
        merged = min(2 ** (exponent - self.exponent), len(self.counts))
        for counts in (self.counts, self.relative):
            folded = counts.reshape(-1, merged).sum(axis=1)
            counts[:] = 0
            counts[: len(folded)] = folded
        self.exponent = exponent

    def resampled(self, counts: Counts) -> Counts:
        """Its counts, or those that are relative, in ``BINS`` bins of equal width from 0 to the largest magnitude."""
        edges = np.linspace(0, 2.0**self.exponent, len(counts) + 1)
        below = np.concatenate([[0.0], np.cumsum(counts)])
        resampled = np.interp(np.linspace(0, self.largest, BINS + 1), edges, below)
        resampled[-1] = below[-1]  # the largest value stands at the lower end of its fine bin
        return np.diff(resampled)


def _spread(values: Array) -> Array:
    """About ``COUNTED`` of the values, or all where they are fewer, as one row.

    An odd stride meets all columns of an image whose width is a power of two.
    """
    stride = max(1, values.size // COUNTED) | 1
    return values.ravel()[::stride]


# Divergences so close differ by rounding alone.
TIE = 1e-9


def kl_bins(counts: Counts, levels: int) -> int:
    """How many of the bins to keep so that ``levels`` levels tell most of the distribution, in bits.

    The search of S. Migacz, "8-bit inference with TensorRT" (GTC 2017), at every number i of kept bins from ``levels``
    on: P is the distribution with all beyond bin i added to the last kept bin; Q is the kept part alone, in ``levels``
    groups of bins, each group's mass spread evenly over its bins that are not empty; the i of the least KL(P‖Q) wins,
    of several the greatest, which cuts off least. An i that cuts off more than ``MOST_CLIPPED`` is no candidate. All i
    are computed at once from running sums, since within a group log Q is one number. A last group that is empty before
    values beyond it counts as one value: else an outlier behind a gap could never be cut off.
    """
    mass, filled = _running(counts), _running(counts > 0)
    total = mass[-1]
    kept = np.arange(levels, len(counts) + 1)
    kept = kept[total - mass[kept] <= MOST_CLIPPED * total]
    beyond = total - mass[kept]
    last = counts[kept - 1]

    # Where each group ends, rounded up, for every i: of shape (i, levels + 1).
    edges = -(-kept[:, None] * np.arange(levels + 1) // levels)
    group_mass = np.diff(mass[edges])
    group_filled = np.diff(filled[edges])
    group_filled[:, -1] += (last == 0) & (beyond > 0)
    log_q = np.log(np.where(group_mass > 0, group_mass, 1) / np.maximum(group_filled, 1))
    total_q = mass[kept] + ((group_mass[:, -1] == 0) & (beyond > 0))

    # From here on the groups are those of P: the last one holds what was cut off.
    group_mass[:, -1] += beyond
    cross_entropy = (group_mass * log_q).sum(axis=1)
    entropy = _running(_x_log_x(counts))[kept - 1] + _x_log_x(last + beyond)
    # KL(P‖Q) less log ∑P, which is the same for every i.
    divergence = (entropy - cross_entropy) / total + np.log(total_q)
    nearest = kept[divergence <= divergence.min() + TIE]
    return int(nearest[-1])


def percentile_bins(counts: Counts) -> int:
    """How many of the bins to keep so that ``PERCENTILE`` of the counts lie in them."""
    return int(np.searchsorted(np.cumsum(counts), PERCENTILE * counts.sum())) + 1


def mse_bins(counts: Counts, levels: int) -> int:
    """How many of the bins to keep so that the mean squared error of quantisation is least; of several the most.

    With the threshold T the step is T / ``levels``: what lies below is off by a twelfth of its square in the mean, and
    what lies beyond by its distance from T. All T are computed at once from running sums.
    """
    middles = np.arange(len(counts)) + 0.5
    sums = [_running(counts * middles**power) for power in range(3)]
    beyond = [whole[-1] - whole[1:] for whole in sums]
    thresholds = np.arange(1, len(counts) + 1)
    clipped = beyond[2] - 2 * thresholds * beyond[1] + thresholds**2 * beyond[0]
    rounded = (counts.sum() - beyond[0]) * (thresholds / levels) ** 2 / 12
    error = clipped + rounded
    nearest = thresholds[error <= error.min() * (1 + TIE)]
    return int(nearest[-1])


def _running(values: npt.NDArray[Any]) -> Counts:
    return np.concatenate([[0.0], np.cumsum(values)])


def _x_log_x(values: Counts) -> Counts:
    return values * np.log(np.where(values > 0, values, 1.0))


def _not_finite(values: Mapping[str, Array]) -> str | None:
    """The first tensor with a value that is NaN or infinite."""
    return next((name for name, value in values.items() if not np.isfinite(value).all()), None)


def _layers(path: Path) -> dict[str, str]:
    """The layer of the network that makes each tensor of a file, or the node where it has none."""
    nodes = onnx.load(path).graph.node
    return {tensor: onnx_rules.layer_of(node.name) or node.name for node in nodes for tensor in node.output}


def _with_outputs(path: Path, names: tuple[str, ...]) -> tuple[str, bytes]:
    """The name of the file's input, and the file with ``names`` as its outputs."""
    model = onnx.load(path)
    del model.graph.output[:]
    source = model.graph.input[0].name
    infos = (helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names if name != source)
    model.graph.output.extend(infos)
    return source, model.SerializeToString()
