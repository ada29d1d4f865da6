"""The course of a training: its start, its epochs, and what it scores.

Byte-for-byte repetition holds on one machine with one number of threads; another processor rounds otherwise.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from hqp.compress.network import contract, layout
from hqp.compress.network.batches import FittingBatches
from hqp.compress.training import optimizer, state
from hqp.compress.training.images import TrainingImages, augmented, batch
from hqp.compress.training.recipe import TrainingRecipe
from hqp.compress.training.teacher import Teacher
from hqp.errors import HqpError
from hqp.records import Digest, digest_of

# What trains at another size of image.
PHASES = 'training = {{"phases": (({}, 10),)}} in the file that builds the model'


@dataclass(frozen=True)
class Step:
    """Where a training stands after one step; ``epoch`` and ``step`` count from 1, ``loss`` is the epoch's mean."""

    epoch: int
    epochs: int
    step: int
    steps: int
    size: int
    loss: float


@dataclass(frozen=True)
class Course:
    """What all epochs of a training share; ``order`` is how images lie in memory."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    images: TrainingImages
    recipe: TrainingRecipe
    seed: int
    teacher: Teacher | None
    fitting: FittingBatches
    order: torch.memory_format


def fingerprint(images: TrainingImages, recipe: TrainingRecipe, seed: int) -> Digest:
    """The name of one training: another recipe, seed or set of images has another."""
    return digest_of([images.digest, len(images), asdict(recipe), seed])


def start(
    build: Callable[[int], nn.Module],
    num_classes: int,
    sizes: Sequence[int],
    *,
    seed: int = 0,
    threads: int = 1,
    say: Callable[[str], None] = lambda line: None,
) -> nn.Module:
    """A new network whose random weights are a function of the seed, on the GPU where there is one.

    From here on PyTorch works in ``threads`` threads: how sums are split between them decides their rounding.

    Raises:
        HqpError: it is no classifier of so many classes at each of the image ``sizes``.
    """
    torch.set_num_threads(threads)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = contract.module(build, num_classes, max(sizes), say)
    for size in sorted(set(sizes)):
        contract.require_classifier(model, size, num_classes, resize=PHASES)
    return model.to(device())


def device() -> torch.device:
    """Where networks are trained: on the GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def gpu_name() -> str | None:
    """The GPU of ``device``, or ``None`` where it is the CPU."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def fit(
    model: nn.Module,
    images: TrainingImages,
    recipe: TrainingRecipe,
    *,
    seed: int = 0,
    state: Path | None = None,
    on_step: Callable[[Step], None] = lambda step: None,
    teacher: Teacher | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> float:
    """The seconds it took to train the model, in place and where its parameters lie; interrupted epochs do not count.

    The model is left in evaluation mode. After each epoch ``state`` holds all that the next one needs; where it exists,
    training goes on from it, unless it is damaged, which ``say`` is told. A batch that memory does not hold is halved,
    which ``say`` is told too: the step is that of the whole batch, except that batch normalisation sees the halves.

    Raises:
        HqpError: the loss is no longer finite.
    """
    if len(images) < recipe.batch:
        raise HqpError(f"{len(images)} images are fewer than one batch", f"a batch of at most {len(images)}")
    order = _layout(model, recipe.sizes)
    momenta = optimizer.set_batch_norm_momentum(model, recipe.batch_norm_momentum)
    course = Course(
        model, optimizer.optimizer_of(model, recipe), images, recipe, seed, teacher, FittingBatches(say), order
    )
    seconds = _train(course, state, on_step)
    for module, momentum in momenta:
        module.momentum = momentum
    model.eval()
    return seconds


def count_correct(model: nn.Module, images: TrainingImages, size: int, at_once: int = 250) -> int:
    """How many of the images the model, in float32 and evaluation mode, puts into their class."""
    order = _layout(model, [size])
    model.eval()
    correct = 0
    with torch.inference_mode():
        for start in range(0, len(images), at_once):
            chosen = range(start, min(start + at_once, len(images)))
            inputs, labels = batch(images, chosen, size, _device(model))
            correct += int((model(inputs.contiguous(memory_format=order)).argmax(1) == labels).sum())
    return correct


# --- epochs -------------------------------------------------------------------------------------------------------


def _train(course: Course, path: Path | None, on_step: Callable[[Step], None]) -> float:
    """The seconds of all epochs, those included that were done before a kill."""
    name = fingerprint(course.images, course.recipe, course.seed)
    done, seconds = 0, 0.0
    if path is not None:
        done, seconds = state.restore(path, name, course.model, course.optimizer, course.fitting.say)
    with _deterministic():
        for epoch in range(done, len(course.recipe.sizes)):
            start = time.perf_counter()
            _train_epoch(course, epoch, on_step)
            seconds += time.perf_counter() - start
            if path is not None:
                state.save(path, name, epoch + 1, seconds, course.model, course.optimizer)
    return seconds


def _train_epoch(course: Course, epoch: int, on_step: Callable[[Step], None]) -> None:
    """Trains one epoch; order, augmentation and dropout are functions of (seed, epoch) alone."""
    recipe = course.recipe
    epochs, size = len(recipe.sizes), recipe.sizes[epoch]
    steps = len(course.images) // recipe.batch

    seed = _epoch_seed(course.seed, epoch)
    draws = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(course.images), generator=draws).numpy()
    # Dropout draws from torch's own generator, and must not repeat what the augmentation drew.
    torch.manual_seed(seed + 1)

    course.model.train()
    total = 0.0
    for step in range(steps):
        optimizer.set_learning_rate(course.optimizer, recipe, epoch * steps + step, epochs * steps)
        chosen = order[step * recipe.batch : (step + 1) * recipe.batch]
        inputs, labels = batch(course.images, np.sort(chosen).tolist(), size, _device(course.model))
        inputs = augmented(inputs, recipe, draws).contiguous(memory_format=course.order)
        total += _finite(_train_batch(course, inputs, labels), epoch)
        on_step(Step(epoch + 1, epochs, step + 1, steps, size, total / (step + 1)))


def _train_batch(course: Course, inputs: Tensor, labels: Tensor) -> float:
    """The batch's loss, after one step of the optimizer."""
    parameters = _trained_parameters(course.optimizer)

    def add_gradients(part: slice) -> float:
        # Weighted, so that the losses of all parts add up to the mean over the whole batch.
        share = len(labels[part]) / len(labels)
        loss = _loss(course, inputs[part], labels[part]) * share
        _add_gradients(loss, parameters)
        return float(loss.detach())

    course.optimizer.zero_grad(set_to_none=True)
    loss = sum(course.fitting.each(len(inputs), add_gradients))
    course.optimizer.step()
    return loss


def _trained_parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    every = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    return [parameter for parameter in every if parameter.requires_grad]


def _loss(course: Course, inputs: Tensor, labels: Tensor) -> Tensor:
    """The mean loss of the images by their labels and, where there is a teacher, by what it says of them."""
    recipe, teacher = course.recipe, course.teacher
    with torch.autocast(inputs.device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
        outputs = contract.training_logits(course.model(inputs))
        loss = functional.cross_entropy(outputs, labels, label_smoothing=recipe.label_smoothing)
        if teacher is not None:
            loss = (1 - teacher.share) * loss + teacher.share * teacher.loss(inputs, outputs)
    return loss


def _add_gradients(loss: Tensor, parameters: Sequence[Tensor]) -> None:
    """Adds the gradients of a loss to those that the parameters have."""
    # All at once: a backward pass that fails would leave some of its gradients added.
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        if gradient is not None:
            parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient


# --- what a training needs ----------------------------------------------------------------------------------------


def _layout(model: nn.Module, sizes: Sequence[int]) -> torch.memory_format:
    """One for all sizes: what the optimizer keeps of a weight lies as the weight does."""
    return layout.fitted(model, *(torch.zeros(1, 3, size, size, device=_device(model)) for size in sorted(set(sizes))))


def _epoch_seed(seed: int, epoch: int) -> int:
    return int(digest_of([seed, epoch])[:12], 16)


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def _finite(loss: float, epoch: int) -> float:
    if not math.isfinite(loss):
        raise HqpError(f"the loss became {loss} in epoch {epoch + 1}", "a lower learning rate trains")
    return loss


@contextmanager
def _deterministic() -> Iterator[None]:
    """Inside, PyTorch takes only algorithms that repeat themselves; its random state is unchanged afterwards."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    settings = torch.utils.deterministic
    fill, settings.fill_uninitialized_memory = settings.fill_uninitialized_memory, False  # it costs time, we read none
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it, cuBLAS may not repeat itself
    with torch.random.fork_rng():
        torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before[0], warn_only=before[1])
            settings.fill_uninitialized_memory = fill
