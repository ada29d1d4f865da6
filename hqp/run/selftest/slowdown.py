"""A network that is slower by a known share: two real layers more, as large as they must be on this runtime."""

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

# How wide the added layers are at first, and how often the width is corrected by what it was measured to cost.
FIRST_WIDTH, CORRECTIONS = 256, 5
WIDEST = 4_000_000
# A slow-down is right when it is so near to the one that was asked for, as a share of that.
NEAR = 0.1
# In so many processes a width is tried, and the one that is kept is measured.
TRIED_IN, MEASURED_IN = 3, 10


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
        HqpError: no width gives that slow-down.
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
    """Writes the network with two fully connected layers behind its logits, of ``width`` between them.

    Together they are the identity, so what the network says stays what it was; the weights beside it are not zero, so
    that no runtime leaves them out.
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
    weights = {"slowing_there": there, "slowing_back": back}
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in weights.items())
    model.graph.node.append(helper.make_node("MatMul", [inner, "slowing_there"], ["slowing"], name="slowing_there"))
    model.graph.node.append(helper.make_node("MatMul", ["slowing", "slowing_back"], [output.name], name="slowing_back"))
    onnx.save(model, str(to))


def fitted(cost: Callable[[int, int], float], share: float) -> Width:
    """The width that costs ``share``: on the line through what the last two widths cost, corrected until it is near.

    ``cost(width, processes)`` is the share of the network's time that a width was measured to add.

    Raises:
        HqpError: the layers cost nothing, or no width is near.
    """
    last, last_cost = 1, cost(1, TRIED_IN)
    width = FIRST_WIDTH
    for _ in range(CORRECTIONS):
        found = cost(width, TRIED_IN)
        if abs(found - share) <= NEAR * share:
            break
        by_width = (found - last_cost) / (width - last) if width != last else 0.0
        if by_width <= 0:
            # Too little to be told from noise: a wider one tells more.
            last, last_cost, width = 1, last_cost, min(4 * width, WIDEST)
            continue
        last, last_cost = width, found
        width = int(np.clip(round(width + (share - found) / by_width), 1, WIDEST))
    measured = cost(width, MEASURED_IN)
    if not 0.5 * share <= measured <= 1.5 * share:
        wrong = f"no layer slows the network down by {100 * share:g}%: the nearest, {measured:.2%}"
        raise HqpError(wrong, "a slower network, or an idle machine", "hqp selftest --percent 5")
    return Width(width, measured)


def _cost(context: Context, device: str, file: Path, slowed: Path, processes: int) -> float:
    """The share of its time by which a slowed file was slower than the file."""
    # A plan that can decide nothing ends at its cap.
    protocol = Protocol(rounds=processes * BLOCKS_PER_PROCESS, keeps_disturbed=True)
    times = measuring.time_pair(context, device, (sha256_of(file), file), slowed, protocol, "slow-down", _never)
    return float(np.expm1(np.median(ratio.slowdowns(times))))


def _never(latency: PairedLatency) -> bool:
    return False
