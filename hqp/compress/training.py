"""Training from scratch: deterministic for a seed, resumable at each epoch, in phases of growing image size.

Byte-for-byte repetition holds on one machine with one number of threads; another processor rounds otherwise.
"""

from __future__ import annotations

import math
import os
import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from hqp.compress.memory import Parts
from hqp.errors import Damaged, HqpError
from hqp.records import digest_of

# Of distillation: probabilities softened so far show what the teacher holds similar.
TEMPERATURE = 4.0


@dataclass(frozen=True)
class TrainingRecipe:
    """Everything that decides the trained weights besides the model, the images, the seed and the machine.

    ``phases`` are pairs of image size in pixels and number of epochs. The learning rate rises to ``learning_rate`` over
    the first ``warmup`` (0 to 1) of all steps and falls to zero on a cosine. ``shift`` and ``scale`` are the greatest
    random move and zoom as fractions of the frame; ``brightness`` and ``contrast`` are the greatest relative change.
    ``flip`` mirrors every second image, by chance: right for photographs, wrong for what can be read. ``erase`` is the
    side of a square that is made grey, as a share of the frame's.
    ``batch_norm_momentum`` replaces the model's own while it trains: torchvision's MobileNetV3 has 0.01, which after a
    short schedule still remembers the random start.
    """

    phases: tuple[tuple[int, int], ...] = ((48, 5), (64, 3), (96, 2))
    batch: int = 128
    learning_rate: float = 2e-3
    warmup: float = 0.2
    weight_decay: float = 0.05
    optimizer: Literal["adamw", "sgd"] = "adamw"
    label_smoothing: float = 0.1
    precision: Literal["float32", "bfloat16"] = "float32"
    batch_norm_momentum: float = 0.1
    shift: float = 0.06
    scale: float = 0.12
    brightness: float = 0.2
    contrast: float = 0.2
    flip: bool = False
    erase: float = 0.0

    def __post_init__(self) -> None:
        if not self.phases or any(size < 1 or epochs < 1 for size, epochs in self.phases):
            raise HqpError(
                f"no training by the phases {self.phases}", "pairs of image size and epochs, such as ((48, 5),)"
            )
        if self.batch < 2:
            raise HqpError(f"no training with batches of {self.batch}", "at least 2 images, for batch normalisation")

    @property
    def sizes(self) -> tuple[int, ...]:
        """The image size of every epoch, in pixels."""
        return tuple(size for size, epochs in self.phases for _ in range(epochs))


@dataclass(frozen=True, eq=False)
class Images:
    """Labelled images, labels int64 (n,), and the mean and deviation that normalise them.

    ``read(indices)`` gives uint8 (len(indices), h, w, 3).
    """

    read: Callable[[Sequence[int]], npt.NDArray[np.uint8]]
    labels: npt.NDArray[np.int64]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    digest: str

    def __len__(self) -> int:
        return len(self.labels)

    def spread(self, count: int) -> Images:
        """So many of them at even distances, or all: of all classes, also where these lie one after the other."""
        chosen = np.arange(min(count, len(self))) * len(self) // min(count, len(self))
        read = self.read
        return replace(
            self, labels=self.labels[chosen], read=lambda indices: read(chosen[np.asarray(indices)].tolist())
        )


@dataclass(frozen=True, eq=False)
class Teacher:
    """A trained model, on the device of the one that learns from it, and its ``share`` of the loss, 0 to 1.

    It sees the same augmented images: L. Beyer et al., "Knowledge distillation: A good teacher is patient and
    consistent", arXiv 2106.05237 (2022).
    """

    model: nn.Module
    share: float

    def loss(self, inputs: Tensor, outputs: Tensor) -> Tensor:
        """The mean KL divergence from the teacher's probabilities, both softened by the temperature.

        Source: G. Hinton et al., "Distilling the Knowledge in a Neural Network", arXiv 1503.02531 (2015).
        """
        with torch.no_grad():
            wanted = functional.log_softmax(self.model(inputs) / TEMPERATURE, 1)
        given = functional.log_softmax(outputs / TEMPERATURE, 1)
        return TEMPERATURE**2 * functional.kl_div(given, wanted, reduction="batchmean", log_target=True)


@dataclass(frozen=True)
class Step:
    """Where a training stands after one step; ``epoch`` and ``step`` count from 1, ``loss`` is the epoch's mean."""

    epoch: int
    epochs: int
    step: int
    steps: int
    size: int
    loss: float


def fingerprint(images: Images, recipe: TrainingRecipe, seed: int) -> str:
    """The name of one training: another recipe, seed or set of images has another."""
    return digest_of([images.digest, len(images), asdict(recipe), seed])


def start(build: Callable[[int], nn.Module], num_classes: int, *, seed: int = 0, threads: int = 1) -> nn.Module:
    """A new network whose random weights are a function of the seed, on the GPU where there is one.

    From here on PyTorch works in ``threads`` threads: how sums are split between them decides their rounding.
    """
    torch.set_num_threads(threads)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = build(num_classes)
    return model.to(device(), memory_format=torch.channels_last)


def device() -> torch.device:
    """Where networks are trained: on the GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def gpu_name() -> str | None:
    """The GPU of ``device``, or ``None`` where it is the CPU."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def fit(
    model: nn.Module,
    images: Images,
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
    training goes on from it. A batch that memory does not hold is halved, which ``say`` is told: the step is that of
    the whole batch, except that batch normalisation sees the halves.

    Raises:
        Damaged: ``state`` is cut off, or belongs to another training.
        HqpError: the loss is no longer finite.
    """
    if len(images) < recipe.batch:
        raise HqpError(f"{len(images)} images are fewer than one batch", f"a batch of at most {len(images)}")
    name = fingerprint(images, recipe, seed)
    momenta = _set_batch_norm_momentum(model, recipe.batch_norm_momentum)
    optimizer, parts = _optimizer(model, recipe), Parts(say)
    done, seconds = _restore(state, name, model, optimizer)
    with _deterministic():
        for epoch in range(done, len(recipe.sizes)):
            start = time.perf_counter()
            _train_epoch(model, optimizer, images, recipe, seed, epoch, on_step, teacher, parts)
            seconds += time.perf_counter() - start
            if state is not None:
                _save(state, {"name": name, "epochs_done": epoch + 1, "seconds": seconds}, model, optimizer)
    for module, momentum in momenta:
        module.momentum = momentum
    model.eval()
    return seconds


def count_correct(model: nn.Module, images: Images, size: int, batch: int = 250) -> int:
    """How many of the images the model, in float32 and evaluation mode, puts into their class."""
    device = _device(model)
    model.eval()
    correct = 0
    with torch.inference_mode():
        for start in range(0, len(images), batch):
            chosen = range(start, min(start + batch, len(images)))
            inputs, labels = _batch(images, chosen, size, device)
            correct += int((model(inputs).argmax(1) == labels).sum())
    return correct


# --- one epoch ----------------------------------------------------------------------------------------------------


def _train_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: Images,
    recipe: TrainingRecipe,
    seed: int,
    epoch: int,
    on_step: Callable[[Step], None],
    teacher: Teacher | None,
    parts: Parts,
) -> None:
    """Trains one epoch; order, augmentation and dropout are functions of (seed, epoch) alone."""
    device, size, steps = _device(model), recipe.sizes[epoch], len(images) // recipe.batch
    draws = torch.Generator().manual_seed(_epoch_seed(seed, epoch))
    order = torch.randperm(len(images), generator=draws).numpy()
    torch.manual_seed(_epoch_seed(seed, epoch) + 1)
    model.train()
    total = 0.0
    for step in range(steps):
        _set_learning_rate(optimizer, recipe, epoch * steps + step, len(recipe.sizes) * steps)
        chosen = np.sort(order[step * recipe.batch : (step + 1) * recipe.batch]).tolist()
        inputs, labels = _batch(images, chosen, size, device)
        loss = _train_batch(model, optimizer, _augment(inputs, recipe, draws), labels, recipe, teacher, parts)
        total += _finite(loss, epoch)
        on_step(Step(epoch + 1, len(recipe.sizes), step + 1, steps, size, total / (step + 1)))


def _train_batch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    inputs: Tensor,
    labels: Tensor,
    recipe: TrainingRecipe,
    teacher: Teacher | None,
    parts: Parts,
) -> float:
    """The batch's loss, after one step of the optimizer."""
    parameters = [one for group in optimizer.param_groups for one in group["params"] if one.requires_grad]

    def add_gradients(part: slice) -> float:
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
            outputs = model(inputs[part])
            loss = functional.cross_entropy(outputs, labels[part], label_smoothing=recipe.label_smoothing)
            if teacher is not None:
                loss = (1 - teacher.share) * loss + teacher.share * teacher.loss(inputs[part], outputs)
            loss = loss * (len(outputs) / len(inputs))
        # All at once: a backward pass that fails would leave some of its gradients added.
        for one, gradient in zip(parameters, torch.autograd.grad(loss, parameters, allow_unused=True), strict=True):
            if gradient is not None:
                one.grad = gradient if one.grad is None else one.grad + gradient
        return float(loss.detach())

    optimizer.zero_grad(set_to_none=True)
    loss = sum(parts.each(len(inputs), add_gradients))
    optimizer.step()
    return loss


def _batch(images: Images, chosen: Sequence[int], size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The network's input, float32 (n, 3, size, size) channels last, and the labels."""
    pixels = torch.from_numpy(np.ascontiguousarray(images.read(chosen))).to(device).permute(0, 3, 1, 2)
    inputs = pixels.to(torch.float32)
    if inputs.shape[-2:] != (size, size):
        inputs = functional.interpolate(inputs, (size, size), mode="bilinear", antialias=True)
    mean = torch.tensor(images.mean, device=device).view(1, 3, 1, 1) * 255
    std = torch.tensor(images.std, device=device).view(1, 3, 1, 1) * 255
    labels = torch.from_numpy(images.labels[np.asarray(chosen)]).to(device)
    return ((inputs - mean) / std).contiguous(memory_format=torch.channels_last), labels


def _augment(inputs: Tensor, recipe: TrainingRecipe, draws: torch.Generator) -> Tensor:
    """The images moved, zoomed, brightened and given more or less contrast, each by draws of its own; some mirrored."""
    count = len(inputs)
    draw = (torch.rand((count, 5), generator=draws) * 2 - 1).to(inputs.device)
    placed = torch.zeros((count, 2, 3), device=inputs.device)
    placed[:, 0, 0] = placed[:, 1, 1] = torch.exp(draw[:, 0] * math.log1p(recipe.scale))
    if recipe.flip:
        placed[:, 0, 0] *= (torch.randint(2, (count,), generator=draws) * 2 - 1).to(inputs.device)
    placed[:, :, 2] = draw[:, 1:3] * 2 * recipe.shift
    grid = functional.affine_grid(placed, list(inputs.shape), align_corners=False)
    moved = functional.grid_sample(inputs, grid, padding_mode="border", align_corners=False)
    if recipe.erase:
        moved = moved * _windows(moved, recipe.erase, draws)
    gain = 1 + recipe.contrast * draw[:, 3].view(-1, 1, 1, 1)
    moved = moved * gain + recipe.brightness * draw[:, 4].view(-1, 1, 1, 1)
    return moved.contiguous(memory_format=torch.channels_last)


def _windows(images: Tensor, side: float, draws: torch.Generator) -> Tensor:
    """1 where an image stays and 0 in a square about a random centre (cutout, DeVries and Taylor, 2017)."""
    centres = torch.rand((2, len(images), 1), generator=draws).to(images.device)
    down, across = ((torch.arange(length, device=images.device) + 0.5) / length for length in images.shape[-2:])
    inside = ((down - centres[0]).abs() < side / 2)[:, :, None] & ((across - centres[1]).abs() < side / 2)[:, None, :]
    return (~inside)[:, None].to(images.dtype)


# --- what a training needs ----------------------------------------------------------------------------------------


def _epoch_seed(seed: int, epoch: int) -> int:
    return int(digest_of([seed, epoch])[:12], 16)


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def _finite(loss: float, epoch: int) -> float:
    if not math.isfinite(loss):
        raise HqpError(f"the loss became {loss} in epoch {epoch + 1}", "a lower learning rate trains")
    return loss


def _optimizer(model: nn.Module, recipe: TrainingRecipe) -> torch.optim.Optimizer:
    """The recipe's, which decays matrices and kernels, but neither biases nor batch normalisation."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    free = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": free, "weight_decay": 0.0}]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=0.9, nesterov=True, fused=True)
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True)


def _set_learning_rate(optimizer: torch.optim.Optimizer, recipe: TrainingRecipe, step: int, steps: int) -> None:
    """One cycle over all steps (Smith and Topin, 2018): a linear rise, then half a cosine down."""
    rise = max(1, round(recipe.warmup * steps))
    fall = 0.5 * (1 + math.cos(math.pi * (step - rise + 1) / (steps - rise + 1)))
    share = (step + 1) / rise if step < rise else fall
    for group in optimizer.param_groups:
        group["lr"] = recipe.learning_rate * share


def _set_batch_norm_momentum(model: nn.Module, momentum: float) -> list[tuple[nn.BatchNorm2d, float | None]]:
    """Sets the momentum everywhere, and gives back what it was."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    before = [(norm, norm.momentum) for norm in norms]
    for norm in norms:
        norm.momentum = momentum
    return before


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


def _save(path: Path, progress: dict[str, Any], model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Puts the state in place of the last one, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    content = {**progress, "model": model.state_dict(), "optimizer": optimizer.state_dict()}
    try:
        torch.save(content, fresh)
        os.replace(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)


def _restore(path: Path | None, name: str, model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[int, float]:
    """How many epochs are already done and the seconds they took; model and optimizer are as they were after them."""
    if path is None or not path.exists():
        return 0, 0.0
    try:
        content = torch.load(path, map_location=_device(model), weights_only=True)
        found, epochs_done, seconds = content["name"], int(content["epochs_done"]), float(content["seconds"])
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise Damaged(f"{path} is damaged or cut off ({reason})", "the state of a training", f"rm '{path}'") from None
    if found != name:
        raise Damaged(f"{path} is the state of another training", "one recipe, seed and dataset", f"rm '{path}'")
    model.load_state_dict(content["model"])
    optimizer.load_state_dict(content["optimizer"])
    return epochs_done, seconds
