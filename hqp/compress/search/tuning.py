"""The training of a pruned model between two rounds; it is a function of the seed, and goes on where it was killed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import nn

from hqp.compress import training
from hqp.compress.job import Job
from hqp.ledger import Ledger
from hqp.records import FineTuning


def train(job: Job, model: nn.Module, how: FineTuning, state: Path, ledger: Ledger) -> None:
    """Trains a model in place; ``state`` keeps what the next epoch needs."""
    images = _images(job)
    with ledger.step("training") as tally, job.track("training", how.epochs * len(images)) as advance:
        device = training.device()
        model.to(device)
        # The trained model teaches where the pupil is, and comes back for the next candidate.
        teacher = training.Teacher(job.model.to(device), how.teacher) if how.teacher else None
        # A training that was killed and went on knows better than the watch what it took.
        tally.seconds = training.fit(
            model,
            images,
            recipe(job, how),
            seed=job.seed,
            state=state,
            on_step=_counted(recipe(job, how).batch, advance),
            teacher=teacher,
            say=job.warn,
        )
        job.model.cpu()
        tally.images, tally.passes = how.epochs * len(images), how.epochs


def _counted(batch: int, advance: Callable[[int], None]) -> Callable[[training.Step], None]:
    """Advances by the images that were trained since the last step, or before this process began."""
    seen = 0

    def count(step: training.Step) -> None:
        nonlocal seen
        steps_done = (step.epoch - 1) * step.steps + step.step
        advance(steps_done * batch - seen)
        seen = steps_done * batch

    return count


def key(job: Job, how: FineTuning) -> dict[str, Any]:
    """What a training depends on beside the model that it starts from."""
    return {
        "teacher": how.teacher,
        "recipe": asdict(recipe(job, how)),
        "train": job.train().digest,
        "seed": job.seed,
    }


def recipe(job: Job, how: FineTuning) -> training.TrainingRecipe:
    """How the model itself is trained, at a share of its learning rate; in float32, which every processor computes."""
    return replace(
        job.training,
        phases=((job.input_size, how.epochs),),
        learning_rate=how.learning_rate * job.training.learning_rate,
        precision="float32",
    )


def _images(job: Job) -> training.TrainingImages:
    samples = job.train()
    # Named by their size too: the same images at another size are another training.
    return training.TrainingImages(
        lambda indices: samples.read(indices, job.input_size),
        samples.labels,
        samples.mean,
        samples.std,
        f"{samples.digest}-{job.input_size}",
    )
