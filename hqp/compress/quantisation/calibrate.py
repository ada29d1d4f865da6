"""What calibration images give in each activation of an FP32 file, streamed: no activation is kept."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper

from hqp import onnx_rules
from hqp.compress.quantisation import qdq
from hqp.compress.quantisation.distribution import Array, Distribution
from hqp.compress.quantisation.thresholds import DEFAULT_POLICY
from hqp.errors import HqpError
from hqp.records import Policy

Item = TypeVar("Item")
Result = TypeVar("Result")


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
    names = qdq.tensors(path, policy)
    if not names:
        return {}
    layers = _layers(path)
    seen = {name: Distribution(layers.get(name, name)) for name in names}
    activations = _activations(path, names)
    images, threads = 0, torch.get_num_threads()
    with ThreadPoolExecutor(threads) as pool:
        for batch in batches():
            # What is counted here is seen there meanwhile: counting in more than one thread takes no less.
            for values in _ahead(pool, threads, activations, batch):
                # Looked at beforehand only where it may be left out: that takes as long as half of what follows.
                wrong = None if left_out is None else _not_finite(values)
                if left_out is not None and wrong is not None:
                    left_out.append(seen[wrong].name)
                    continue
                for name, value in values.items():
                    seen[name].add(value)
            images += len(batch)
            if advance is not None:
                advance(len(batch))
    if not images or (left_out and len(left_out) == images):
        raise HqpError("calibration got no images", "at least one; 500 or more for a good range")
    return seen


def _activations(path: Path, names: tuple[str, ...]) -> Callable[[Array], dict[str, Array]]:
    """What gives the tensors of these names for an image, (3, size, size), by the FP32 file."""
    import onnxruntime

    source, file = _with_outputs(path, names)
    options = onnxruntime.SessionOptions()
    # The threads are at work on images of their own.
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    inner = [name for name in names if name != source]

    def activations(image: Array) -> dict[str, Array]:
        values = dict(zip(inner, session.run(inner, {source: image[None]}), strict=True))
        return {source: image, **values} if source in names else values

    return activations


def _with_outputs(path: Path, names: tuple[str, ...]) -> tuple[str, bytes]:
    """The name of the file's input, and the file with ``names`` as its outputs."""
    model = onnx.load(path)
    del model.graph.output[:]
    source = model.graph.input[0].name
    for name in names:
        if name != source:
            model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    return source, model.SerializeToString()


def _layers(path: Path) -> dict[str, str]:
    """The layer of the network that makes each tensor of a file, or the node where it has none."""
    layers = {}
    for node in onnx.load(path).graph.node:
        for tensor in node.output:
            layers[tensor] = onnx_rules.layer_of(node.name) or node.name
    return layers


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


def _not_finite(values: Mapping[str, Array]) -> str | None:
    """The first tensor with a value that is NaN or infinite."""
    return next((name for name, value in values.items() if not np.isfinite(value).all()), None)
