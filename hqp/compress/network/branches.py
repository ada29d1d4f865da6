"""Where a network's Python code looks at the values of an image: a trace goes one way there, whatever the image."""

from __future__ import annotations

import linecache
import os
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hqp.compress.network.evaluation_mode import evaluating

# An assertion goes on or fails; there is one way on.
ASSERTIONS = ("assert ", "assert(", "torch._assert(", "_assert(")

# Asked for before the memory of a tensor is read, as ``tolist`` and ``numpy`` do.
READ_OUT = torch.ops.aten.resolve_neg.default


class _Watch(TorchDispatchMode):
    """Follows what is computed from the image, and notes each line of code that makes numbers of Python of it.

    Followed is memory, not tensors, so that what is written into a part of a tensor is seen in the whole. A weak
    reference holds the place of a memory that was freed, so that no other tensor is taken for it.
    """

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._memories: dict[int, StorageWeakRef] = {}
        self._follow(image)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if any(self._is_followed(tensor) for tensor in given):
            results = tree_leaves(result)
            if func is READ_OUT or any(isinstance(leaf, bool | int | float) for leaf in results):
                self.lines.extend(_line())
            for leaf in results:
                if isinstance(leaf, Tensor):
                    self._follow(leaf)
        return result

    def _follow(self, tensor: Tensor) -> None:
        memory = StorageWeakRef(tensor.untyped_storage())
        self._memories[memory.cdata] = memory

    def _is_followed(self, tensor: Tensor) -> bool:
        return tensor.untyped_storage()._cdata in self._memories


def on_image(model: nn.Module, image: Tensor) -> tuple[str, ...]:
    """The lines of code that look at the values of the image, ``model.py:15: if x.mean() > 0.5:``, in their order.

    The model runs once, in evaluation mode; ``image`` is a batch of one. Shapes are no values, nor are weights.
    """
    watch = _Watch(image)
    with torch.inference_mode(), evaluating(model), watch:
        model(image)
    return tuple(dict.fromkeys(watch.lines))


def _line() -> Iterator[str]:
    """The line of the network's code that is running, unless it is an assertion."""
    frame = _network_frame(sys._getframe(1))
    if frame is None:
        return
    name, number = frame.f_code.co_filename, frame.f_lineno
    code = linecache.getline(name, number).strip()
    if not code.startswith(ASSERTIONS):
        yield f"{os.path.basename(name)}:{number}: {code}"


def _network_frame(frame: FrameType | None) -> FrameType | None:
    """The innermost frame that is neither of this file nor of torch."""
    ours = (__file__, os.path.dirname(torch.__file__) + os.sep)
    while frame is not None and frame.f_code.co_filename.startswith(ours):
        frame = frame.f_back
    return frame
