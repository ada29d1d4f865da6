"""The two passes of the trained network's own framework: sensitivity on ``calibration``, accuracy on ``selection``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from torch import Tensor, nn

from hqp.compress.job import Job, calibration_batches
from hqp.compress.network import tensors
from hqp.compress.network.accuracy import accuracy
from hqp.compress.ranking import sensitivity
from hqp.compress.ranking.collect import Sensitivities
from hqp.compress.search.bound import Bound
from hqp.ledger import Ledger
from hqp.records import Accuracy


@dataclass(frozen=True)
class Validation:
    """The accuracy of a module on ``selection``, or on the images that sufficed; none where it breaks the bound."""

    accuracy: Accuracy | None


def sensitivities(job: Job, model: nn.Module, images: int, ledger: Ledger) -> Sensitivities:
    """The sensitivities of every filter of a model: one pass over so many images of ``calibration``."""
    with ledger.step("sensitivity") as tally, job.track("sensitivity", images) as advance:
        found = sensitivity.sensitivities(model, labelled(job, images, advance), job.warn)
        tally.images, tally.passes = images, 1
    return found


def save(found: Sensitivities, folder: Path) -> None:
    """Writes sensitivities, a file for each kind of them."""
    for kind, by_layer in vars(found).items():
        # What is a view of something larger cannot be written as it is.
        whole = {layer: values.contiguous() for layer, values in by_layer.items()}
        tensors.save(whole, _file(folder, kind))


def load(folder: Path) -> Sensitivities:
    """What ``save`` wrote."""
    from safetensors.torch import load_file

    kinds = [field.name for field in fields(Sensitivities)]
    return Sensitivities(**{kind: load_file(_file(folder, kind)) for kind in kinds})


def _file(folder: Path, kind: str) -> Path:
    return folder / f"{kind}.safetensors"


def labelled(
    job: Job, count: int, advance: Callable[[int], None] = lambda images: None
) -> Iterator[tuple[Tensor, Tensor]]:
    """The first images of ``calibration``, float32 (n, 3, size, size), and their labels, int64 (n,), in batches."""
    for indices, images in calibration_batches(job, count):
        labels = job.calibration.labels[indices.start : indices.stop]
        yield torch.from_numpy(images), torch.from_numpy(labels)
        advance(len(indices))


def validation(job: Job, model: nn.Module, bound: Bound | None, ledger: Ledger) -> Validation:
    """One pass over ``selection``, stopped as soon as it is certain or clear whether the bound holds."""
    floor, early = (bound.floor, bound.early) if bound else (None, None)
    with ledger.step("validation") as tally, job.track("validation", len(job.selection)) as advance:
        tally.passes = 1

        # Only what was seen until the pass was stopped has been spent.
        def count(images: int) -> None:
            tally.images += images
            advance(images)

        judged = accuracy(
            model,
            job.selection,
            job.input_size,
            floor_correct=floor,
            early=early,
            advance=count,
            say=job.warn,
        )
    return Validation(judged)
