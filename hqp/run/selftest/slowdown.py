"""A network that is slower by a known share: one or two real layers more, as wide as they must be on this runtime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from hqp.errors import HqpError
from hqp.measure.sampler import BLOCKS_PER_PROCESS
from hqp.records import PairedLatency
from hqp.run import measuring
from hqp.run.context import Context
from hqp.run.inputs.artifacts import MODEL
from hqp.run.measuring import Protocol
from hqp.stats import ratio
from hqp.store import sha256_of

# How wide the added layers are at first, and at most; of width 0 it is one layer, the least that can be added.
FIRST_WIDTH, WIDEST = 256, 4_000_000
# A correction goes at most so many times wider or narrower: two costs that noise brought close say little.
LARGEST_STEP = 8
# A slow-down is right when it is so near to the one that was asked for, as a share of that; by half it is kept.
NEAR, KEPT = 0.1, 0.5
# In so many processes a width is tried one after the other; of the last ones the cost is told.
TRIED_IN, MEASURED_IN = 3, 10
TRIALS = (TRIED_IN, TRIED_IN, TRIED_IN, MEASURED_IN, MEASURED_IN, MEASURED_IN)


class NotMade(HqpError):
    """No layer slows the network down by the ``share`` that was asked for; ``nearest`` is what one was measured to."""

    def __init__(self, share: float, nearest: float) -> None:
        wrong = f"no layer slows the network down by {100 * share:g}%: the nearest, {nearest:.2%}"
        super().__init__(wrong, "a slower network, or an idle machine", "hqp selftest --percent 5")
        self.share, self.nearest = share, nearest


@dataclass(frozen=True)
class Width:
    """How wide the added layers are, and by what share of its time they were measured to slow the network down."""

    width: int
    measured: float


@dataclass(frozen=True)
class Slower:
    """A network made slower: by what share that was asked for, and by what was measured; the file."""

    asked: float
    measured: float
    file: Path


def slower(context: Context, device: str, file: Path, share: float) -> Slower:
    """The network of a file, slower by about ``share`` of its time on this device; the file itself for 0.

    Its width is looked for once, and kept in the store with what it was measured to cost.

    Raises:
        NotMade: no width gives that slow-down.
    """
    if not share:
        return Slower(0.0, 0.0, file)
    key = {"model": sha256_of(file), "environment": context.environment(device).digest, "share": share}

    def find() -> Width:
        with TemporaryDirectory() as folder:
            tried = Path(folder) / MODEL

            def cost(width: int, processes: int) -> float:
                widen(file, tried, width)
                return _cost(context, device, file, tried, processes)

            return fitted(cost, share)

    found = context.store.record("slowdowns", key, Width, find)
    of = {"model": key["model"], "width": found.width}
    folder = context.store.make("slowed", of, lambda place: widen(file, place / MODEL, found.width))
    return Slower(share, found.measured, folder / MODEL)


def widen(file: Path, to: Path, width: int) -> None:
    """Writes the network with two fully connected layers behind its logits, of ``width`` between them; with one for 0.

    They are the identity, so what the network says stays what it was; the weights beside it are not zero, so that no
    runtime leaves them out.
    """
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(str(file))
    output = model.graph.output[0]
    classes = output.type.tensor_type.shape.dim[1].dim_value
    noise = np.random.default_rng(0).normal(0, 0.1, (classes, width)).astype(np.float32)
    there = np.hstack([np.eye(classes, dtype=np.float32), noise])
    back = np.vstack([np.eye(classes, dtype=np.float32), np.zeros((width, classes), np.float32)])
    inner = f"{output.name}_before_slowing"
    for node in model.graph.node:
        node.output[:] = [inner if name == output.name else name for name in node.output]
        node.input[:] = [inner if name == output.name else name for name in node.input]
    layers = {"slowing_there": there, "slowing_back": back} if width else {"slowing_there": there}
    read = inner
    for name, weights in layers.items():
        written = output.name if name == list(layers)[-1] else "slowing"
        model.graph.initializer.append(numpy_helper.from_array(weights, name))
        model.graph.node.append(helper.make_node("MatMul", [read, name], [written], name=name))
        read = written
    onnx.save(model, str(to))


def fitted(cost: Callable[[int, int], float], share: float) -> Width:
    """The width that costs ``share``, corrected by what it was measured to cost until it is near.

    ``cost(width, processes)`` is the share of the network's time that a width was measured to add.

    Raises:
        NotMade: the layers cost nothing, or no width is near.
    """
    narrowest = cost(0, TRIED_IN)
    width = FIRST_WIDTH if narrowest < share else 0
    measured: list[Width] = []
    for processes in TRIALS:
        tried = Width(width, cost(width, processes))
        if processes == MEASURED_IN:
            measured.append(tried)
        if abs(tried.measured - share) > NEAR * share:
            width = _corrected(tried, narrowest, share)
        # Where no other width is left to try, the same one again would tell nothing new.
        if measured and width == tried.width:
            break
    # From one layer to two it is a step, so that what was tried last need not be the nearest.
    nearest = min(measured, key=lambda tried: abs(tried.measured - share))
    if abs(nearest.measured - share) > KEPT * share:
        raise NotMade(share, nearest.measured)
    return nearest


def _corrected(tried: Width, narrowest: float, share: float) -> int:
    """The width that would cost ``share`` if cost grew evenly from that of the narrowest layers to what was tried."""
    missing, grown = share - tried.measured, tried.measured - narrowest
    # Where what was added seems to cost nothing, as far as one may go.
    wanted: float = WIDEST if missing > 0 else 0
    if tried.width and grown > 0:
        wanted = tried.width + missing * tried.width / grown
    widest = min(max(tried.width * LARGEST_STEP, FIRST_WIDTH), WIDEST)
    return int(np.clip(round(wanted), tried.width // LARGEST_STEP, widest))


def _cost(context: Context, device: str, file: Path, slowed: Path, processes: int) -> float:
    """The share of its time by which a slowed file was slower than the file."""
    # A plan that can decide nothing ends at its cap.
    protocol = Protocol(rounds=processes * BLOCKS_PER_PROCESS, keeps_disturbed=True)
    times = measuring.time_pair(context, device, (sha256_of(file), file), slowed, protocol, "slow-down", _never)
    return float(np.expm1(np.median(ratio.slowdowns(times))))


def _never(latency: PairedLatency) -> bool:
    return False
