"""``hqp train``: a checkpoint from nothing but a model's name, a dataset's name and a seed.

The same command after a kill goes on where it stopped, and ends in the same weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from hqp import catalog, documents
from hqp.errors import HqpError, command
from hqp.measure.environment import cpu_model, usable_cores
from hqp.records import SPLITS, Digest, Reading, Samples, digest_of
from hqp.run.context import data_root
from hqp.run.images import prepared
from hqp.run.inputs import checkpoints
from hqp.run.progress import Progress
from hqp.run.training_recipe import at_size, last_phase, recipe_of
from hqp.store import STATES, Store, sha256_of

if TYPE_CHECKING:
    from torch import nn

    from hqp.compress.training import Step, TrainingImages, TrainingRecipe
    from hqp.compress.training.checkpoint import Card, Score

STORE = Path(".hqp")
TRAIN_SCORED = 5_000  # images of `train` that the card counts: enough to show how far a network overfits


@dataclass(frozen=True)
class Training:
    """What is asked for, and what the steps have made so far."""

    model: str
    dataset: str
    out: Path
    seed: int
    resume: bool
    skip_unreadable: int
    threads: int
    console: Console
    recipe: TrainingRecipe
    plugin: Any
    asked_size: int | None
    start: Path | None
    samples: dict[str, Samples] = field(default_factory=dict)
    images: dict[str, TrainingImages] = field(default_factory=dict)
    network: nn.Module | None = None
    scores: dict[str, Score] = field(default_factory=dict)
    sha256: str = ""
    seconds: float = 0.0
    card: Card | None = None

    @property
    def size(self) -> int:
        """The image size of the last phase, at which the network is to be used."""
        return self.recipe.sizes[-1]

    @property
    def weights(self) -> Path:
        return checkpoints.trained(self.out, self.model, self.dataset)

    @property
    def state(self) -> Path:
        """Where the training's state lies; another recipe, seed, set of images or start has another place."""
        from hqp.compress.training import fingerprint

        training = digest_of([fingerprint(self.images["train"], self.recipe, self.seed), self.started_from])
        return STORE / STATES / f"{self.weights.stem}-{training[:12]}.pt"

    @property
    def started_from(self) -> Digest | None:
        """What names the weights that the training starts from; nothing where they are random."""
        return sha256_of(self.start) if self.start else None

    @property
    def again(self) -> str:
        """The command that goes on with this training."""
        size = () if self.asked_size is None else ("--size", self.asked_size)
        start = () if self.start is None else ("--start", self.start)
        return command("hqp", "train", self.model, "--dataset", self.dataset, *size, *start)


def train(
    model: str,
    dataset: str,
    out: Path,
    *,
    recipe: TrainingRecipe | None = None,
    size: int | None = None,
    start: Path | None = None,
    seed: int = 0,
    resume: bool = True,
    skip_unreadable: int = 0,
    threads: int | None = None,
    console: Console | None = None,
) -> Card:
    """The card of a fresh checkpoint, whose two files are ``out/<dataset>/<model>.safetensors`` and ``.json``.

    Without ``recipe`` that of model and dataset is taken, in the end at ``size`` pixels where that is given; from the
    weights in ``start`` its last phase alone is run. Without ``resume`` an interrupted training starts anew.

    Raises:
        UnknownName: there is no such model or dataset.
        NotInstalled: a package is missing.
        HqpError: nothing can be written to ``out``, ``start`` does not fit, the training diverged, or its state is
            damaged.
    """
    plugin = catalog.load("models", model)
    threads = threads or usable_cores()
    recipe = recipe or recipe_of(plugin, catalog.load("datasets", dataset), dataset)
    if size is not None:
        recipe = at_size(recipe, size)
    if start is not None:
        recipe = last_phase(recipe)
    console = console or Console(stderr=True)
    run = Training(model, dataset, out, seed, resume, skip_unreadable, threads, console, recipe, plugin, size, start)
    for step in STEPS:
        run = step(run)
    assert run.card is not None
    return run.card


# --- the steps ----------------------------------------------------------------------------------------------------


def open_samples(run: Training) -> Training:
    """Opens every split of the dataset; `selection` and `calibration` are held out of `train`."""
    documents.require_place(run.weights, "--out DIR")
    if run.start is not None and not run.start.is_file():
        raise HqpError(f"there are no weights at {run.start} to start from", "a weight file", "--start FILE")
    plugin, reading = catalog.load("datasets", run.dataset), Reading(held_out=True)
    samples = {split: plugin.load(split, data_root(), reading) for split in SPLITS}
    for split, opened in samples.items():
        leak = opened.leak() if opened.leak else None
        if leak and leak.shared:
            run.console.print(leak.warning(split), highlight=False, soft_wrap=True)
    return replace(run, samples=samples)


def render_images(run: Training) -> Training:
    """Has every split's images at hand, at the size of the last phase."""
    from hqp.compress.training import TrainingImages

    images, progress = {}, Progress(run.console)
    store = Store(STORE, progress.say)
    for split, samples in run.samples.items():
        ready = prepared(samples, run.size, run.skip_unreadable, store, progress)
        read = partial(_read, ready, run.size)
        images[split] = TrainingImages(read, ready.labels, ready.mean, ready.std, f"{ready.digest}-{run.size}")
    return replace(run, images=images)


def _read(samples: Samples, size: int, indices: Sequence[int]) -> npt.NDArray[np.uint8]:
    return samples.read(indices, size)


def build_network(run: Training) -> Training:
    """Builds the network; it starts from the weights that are given, else at random as the seed says."""
    from hqp.compress.network import weight_files, weights
    from hqp.compress.training import start

    classes = len(run.samples["train"].classes)
    say = partial(run.console.print, highlight=False)
    network = start(run.plugin.build, classes, run.recipe.sizes, seed=run.seed, threads=run.threads, say=say)
    if run.start is not None:
        weights.fill(network, weight_files.read(run.start), str(run.start))
        network.float()
    return replace(run, network=network)


def fit_network(run: Training) -> Training:
    """Trains the network, and shows how far it is."""
    from hqp.compress.training import fit

    assert run.network is not None
    if not run.resume:
        run.state.unlink(missing_ok=True)
    try:
        with _progress(run.console) as progress:
            on_step = _show(progress, f"{run.model} on {run.dataset}")
            images = run.images["train"]
            say = partial(run.console.print, highlight=False)
            seconds = fit(run.network, images, run.recipe, seed=run.seed, state=run.state, on_step=on_step, say=say)
    except KeyboardInterrupt:
        kept = f"Stopped. Finished epochs are kept in {run.state}; to go on, type: {run.again}"
        run.console.print(kept, highlight=False)
        raise
    return replace(run, seconds=seconds)


def write_network(run: Training) -> Training:
    """Writes the weights in half precision, and goes on with what the file holds."""
    from hqp.compress.training.checkpoint import read_weights, write_weights

    assert run.network is not None
    sha256 = write_weights(run.weights, run.network.state_dict())
    return replace(run, network=read_weights(run.weights, run.network, sha256), sha256=sha256)


def score_network(run: Training) -> Training:
    """Counts the network's right answers on every split, of `train` on some only."""
    from hqp.compress.training import count_correct
    from hqp.compress.training.checkpoint import Score

    assert run.network is not None
    scores = {}
    for split, images in run.images.items():
        counted = images.spread(TRAIN_SCORED) if split == "train" else images
        scores[split] = Score(count_correct(run.network, counted, run.size), len(counted))
        percent = 100 * scores[split].correct / scores[split].total
        run.console.print(f"{run.model} on {run.dataset}/{split}: {percent:.2f} % of {len(counted)}", highlight=False)
    return replace(run, scores=scores)


def write_card(run: Training) -> Training:
    """Writes the card beside the weights; the training's state is no longer needed."""
    card = _card(run)
    documents.write(run.weights.with_suffix(".json"), card)
    run.state.unlink(missing_ok=True)
    return replace(run, card=card)


STEPS: tuple[Callable[[Training], Training], ...] = (
    open_samples,
    render_images,
    build_network,
    fit_network,
    write_network,
    score_network,
    write_card,
)


# --- what the steps need ------------------------------------------------------------------------------------------


def _card(run: Training) -> Card:
    from hqp.compress.training.checkpoint import Card

    assert run.network is not None
    return Card(
        model=run.model,
        dataset=run.dataset,
        num_classes=len(run.samples["train"].classes),
        input_size=run.size,
        parameters=sum(parameter.numel() for parameter in run.network.parameters()),
        accuracy=run.scores,
        split_digests={split: samples.digest for split, samples in run.samples.items()},
        recipe=run.recipe,
        seed=run.seed,
        versions={package: version(package) for package in ("torch", "torchvision", "numpy")},
        machine=_machine(run),
        seconds=round(run.seconds, 1),
        date=datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        sha256=run.sha256,
        started_from=run.started_from,
    )


def _machine(run: Training) -> dict[str, str | int]:
    """What rounding depends on: the processor, and how many threads shared the sums."""
    from hqp.compress.training import gpu_name

    gpu = gpu_name()
    told: dict[str, str | int] = {"cpu": cpu_model(), "cores": usable_cores(), "threads": run.threads}
    return {**told, "gpu": gpu} if gpu else told


def _progress(console: Console) -> Bars:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
    )
    return Bars(*columns, console=console)


def _show(progress: Bars, title: str) -> Callable[[Step], Any]:
    """Moves a bar at every step, and leaves one line for every epoch."""
    task = progress.add_task(title)

    def show(step: Step) -> None:
        done = (step.epoch - 1) * step.steps + step.step
        progress.update(
            task, total=step.epochs * step.steps, completed=done, description=f"{title}, loss {step.loss:.3f}"
        )
        if step.step == step.steps:
            line = f"epoch {step.epoch} of {step.epochs} at {step.size} px: loss {step.loss:.4f}"
            progress.console.print(line, highlight=False)

    return show
