"""The accuracy of a torch model on a split, given up as soon as a bound is out of reach."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from hqp.compress.network import layout
from hqp.compress.network.batches import FittingBatches
from hqp.compress.network.evaluation_mode import evaluating, most_at_once
from hqp.compress.network.frozen import Quickest
from hqp.errors import HqpError
from hqp.records import Accuracy, Samples

# The quickest of 16 to 256 for ResNet-18 and MobileNetV3-L at 96x96 on a CPU; larger batches leave the cache.
BATCH_SIZE = 32


@dataclass(frozen=True)
class Early:
    """After how many images a pass is looked at, ascending, and what says whether the bound is clear by then."""

    after: tuple[int, ...]
    holds: Callable[[Accuracy], bool | None]


def accuracy(
    model: nn.Module,
    samples: Samples,
    input_size: int,
    *,
    batch_size: int = BATCH_SIZE,
    floor_correct: int | None = None,
    early: Early | None = None,
    advance: Callable[[int], None] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Accuracy | None:
    """Top-1 and top-5 on a split, in float32 and evaluation mode, or ``None`` below ``floor_correct`` images.

    The answer is exact: ``None`` comes once so many images are wrong that the floor is out of reach, and only then.
    With ``early`` it also ends where a look says that the bound holds, with the accuracy on the images so far, or that
    it breaks, with ``None``.
    Images are read batch by batch at ``input_size`` pixels; ``advance`` gets the number of images just done. The
    model's training mode is restored; its weights are laid out as the images are. Many images go through the model's
    frozen graph, where it has one. A batch that memory does not hold is halved, which ``say`` is told.

    Raises:
        HqpError: the split is empty.
    """
    if not len(samples):
        raise HqpError(f"split '{samples.split}' of '{samples.dataset}' is empty", "at least one image")
    device = next(model.parameters()).device
    order = layout.fitted(model, torch.zeros(1, 3, input_size, input_size, device=device))
    forward = Quickest(model, len(samples))

    def outputs(images: npt.NDArray[np.float32], part: slice) -> npt.NDArray[np.float32]:
        # Not inference_mode: what the network keeps of this pass must be fit for gradients.
        with torch.no_grad():
            batch = torch.from_numpy(images[part]).to(device, memory_format=order)
            logits: npt.NDArray[np.float32] = forward(batch).float().cpu().numpy()
        return logits

    with evaluating(model):
        fitting = FittingBatches(say, most_at_once(model))
        return _judged(outputs, samples, input_size, batch_size, floor_correct or 0, early, advance, fitting)


def _judged(
    logits: Callable[[npt.NDArray[np.float32], slice], npt.NDArray[np.float32]],
    samples: Samples,
    input_size: int,
    batch_size: int,
    floor: int,
    early: Early | None,
    advance: Callable[[int], None] | None,
    fitting: FittingBatches,
) -> Accuracy | None:
    reachable = len(samples)
    looks = list(early.after) if early else []
    outputs = []
    for start in range(0, len(samples), batch_size):
        indices = range(start, min(start + batch_size, len(samples)))
        batch = replace(samples, labels=samples.labels[indices.start : indices.stop])
        images = samples.normalised(samples.read(indices, input_size))
        outputs.append(np.concatenate(fitting.each(len(images), partial(logits, images))))
        reachable -= len(batch) - Accuracy.of(batch, outputs[-1]).correct
        if advance is not None:
            advance(len(indices))
        if reachable < floor:
            return None
        if early and looks and indices.stop >= looks[0]:
            looks.pop(0)
            so_far = Accuracy.of(samples.first(indices.stop), np.concatenate(outputs))
            held = early.holds(so_far)
            if held is not None:
                return so_far if held else None
    return Accuracy.of(samples, np.concatenate(outputs))
