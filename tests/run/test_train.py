"""``hqp train``: two files from two names, the same after a kill as without one."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from torch import nn

from hqp import catalog, documents
from hqp.compress import training
from hqp.compress.training import Step, TrainingRecipe
from hqp.compress.training.checkpoint import Card, Score, read_weights
from hqp.errors import HqpError, UnknownName
from hqp.records import Reading, Samples
from hqp.run import train as workflow
from hqp.run.train import train

COUNTS = {"train": 40, "calibration": 8, "selection": 8, "test": 16}


def read(split: str, indices: Sequence[int], size: int) -> np.ndarray:
    streams = (np.random.default_rng([sorted(COUNTS).index(split), index]) for index in indices)
    return np.stack([stream.integers(0, 255, (size, size, 3), dtype=np.uint8) for stream in streams])


def load(split: str, root: Path | None = None, reading: Reading | None = None) -> Samples:
    def read_split(indices: Sequence[int], size: int) -> np.ndarray:
        return read(split, indices, size)

    labels = np.arange(COUNTS[split], dtype=np.int64) % 2
    digest = hashlib.sha256(split.encode()).hexdigest()
    return Samples("noise", split, labels, ("a", "b"), (0.5, 0.5, 0.5), (0.3, 0.3, 0.3), digest, read_split)


def build(num_classes: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, num_classes),
    )


TINY = SimpleNamespace(build=build, training={"phases": ((8, 1), (12, 2)), "batch": 8})


@pytest.fixture(autouse=True)
def plugins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A tiny model and a tiny dataset, in an empty working directory."""
    real = catalog.load
    fakes = {
        ("models", "tiny"): TINY,
        ("datasets", "noise"): SimpleNamespace(load=load),
    }

    def find(kind: str, name: str) -> ModuleType:
        return fakes.get((kind, name)) or real(kind, name)  # type: ignore[return-value]

    monkeypatch.setattr(catalog, "load", find)
    monkeypatch.chdir(tmp_path)


def run(out: str, *, text: io.StringIO | None = None, **options: Any) -> Card:
    return train("tiny", "noise", Path(out), threads=1, console=Console(file=text or io.StringIO()), **options)


def killed_at(epoch: int, how: type[BaseException], monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Has the training die at the first step of an epoch; the result lets the next one live."""
    fit = training.fit

    def dying(*args: object, on_step: Callable[[Step], None], **options: object) -> float:
        def on_step_or_die(step: Step) -> None:
            on_step(step)
            if step.epoch == epoch:
                raise how

        return fit(*args, on_step=on_step_or_die, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(training, "fit", dying)
    return lambda: monkeypatch.setattr(training, "fit", fit)


def test_the_card_describes_the_weights_beside_it() -> None:
    card = run("fixtures")
    folder = Path("fixtures/noise")
    assert sorted(path.name for path in folder.iterdir()) == ["tiny.json", "tiny.safetensors"]
    assert documents.read(folder / "tiny.json", Card, "hqp train tiny") == card
    assert card.sha256 == hashlib.sha256((folder / "tiny.safetensors").read_bytes()).hexdigest()
    assert (card.model, card.dataset, card.num_classes, card.input_size) == ("tiny", "noise", 2, 12)
    assert card.parameters == 4 * 27 + 4 + 8 + 10
    assert {split: score.total for split, score in card.accuracy.items()} == COUNTS
    assert card.recipe == TrainingRecipe(phases=((8, 1), (12, 2)), batch=8)
    assert card.seconds is not None and card.seconds >= 0


def test_the_counts_are_of_the_rounded_weights() -> None:
    card = run("fixtures")
    model = read_weights(Path("fixtures/noise/tiny.safetensors"), build(2), card.sha256)
    for split, total in COUNTS.items():
        samples = load(split)
        inputs = torch.from_numpy(samples.normalised(samples.read(range(total), 12)))
        with torch.inference_mode():
            correct = int((model(inputs).argmax(1).numpy() == samples.labels).sum())
        assert card.accuracy[split] == Score(correct, total)


def test_of_a_large_training_split_some_images_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workflow, "TRAIN_SCORED", 10)
    assert run("fixtures").accuracy["train"].total == 10


def test_the_seed_decides_the_weights() -> None:
    assert run("a").sha256 == run("b").sha256 != run("c", seed=1).sha256


def test_the_command_after_a_kill_ends_in_the_same_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run("a").sha256
    revive = killed_at(3, MemoryError, monkeypatch)
    with pytest.raises(MemoryError):
        run("b")
    revive()
    assert [path.suffix for path in Path(".hqp/train").iterdir()] == [".pt"]
    text = io.StringIO()
    assert run("b", text=text).sha256 == whole
    assert "epoch 3 of 3" in text.getvalue()
    assert "epoch 2 of 3" not in text.getvalue()
    assert not list(Path(".hqp/train").iterdir()), "a finished training leaves no state"


def test_without_resume_it_starts_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    revive = killed_at(3, MemoryError, monkeypatch)
    with pytest.raises(MemoryError):
        run("a")
    revive()
    text = io.StringIO()
    run("a", resume=False, text=text)
    assert "epoch 1 of 3" in text.getvalue()


def test_ctrl_c_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    killed_at(2, KeyboardInterrupt, monkeypatch)
    for options, typed in (({}, ""), ({"size": 16}, " --size 16")):
        text = io.StringIO()
        with pytest.raises(KeyboardInterrupt):
            run("a", text=text, **options)
        assert f"to go on, type: hqp train tiny --dataset noise{typed}" in " ".join(text.getvalue().split())


def test_at_another_size_the_phases_before_grow_alike() -> None:
    card = run("a", size=48)
    assert (card.input_size, card.recipe.phases, card.started_from) == (48, ((32, 1), (48, 2)), None)


def test_from_weights_that_are_given_the_last_phase_goes_on() -> None:
    first = run("a")
    given = Path("a/noise/tiny.safetensors")
    still = run("b", start=given, recipe=TrainingRecipe(phases=((8, 1), (12, 1)), batch=8, learning_rate=0.0))
    assert (still.recipe.phases, still.started_from) == (((12, 1),), first.sha256)
    begun, ended = load_file(given), load_file("b/noise/tiny.safetensors")
    assert torch.equal(begun["0.weight"], ended["0.weight"])
    assert not torch.equal(begun["1.running_mean"], ended["1.running_mean"])


def test_weights_that_are_not_there_are_no_start() -> None:
    with pytest.raises(HqpError, match="there are no weights at none"):
        run("a", start=Path("none.pt"))


def test_what_began_with_other_weights_is_not_gone_on_with(monkeypatch: pytest.MonkeyPatch) -> None:
    run("a")
    run("c", seed=1)
    revive = killed_at(2, MemoryError, monkeypatch)
    with pytest.raises(MemoryError):
        run("b", start=Path("a/noise/tiny.safetensors"))
    revive()
    text = io.StringIO()
    run("b", start=Path("c/noise/tiny.safetensors"), text=text)
    assert "epoch 1 of 2" in text.getvalue()


def test_another_recipe_that_is_given_is_taken() -> None:
    recipe = TrainingRecipe(phases=((8, 1),), batch=4)
    card = train("tiny", "noise", Path("a"), recipe=recipe, threads=1, console=Console(file=io.StringIO()))
    assert (card.input_size, card.recipe.batch) == (8, 4)


@pytest.mark.parametrize(("model", "dataset"), [("tinny", "noise"), ("tiny", "nose")])
def test_a_misspelt_name_is_refused_before_anything_is_rendered(model: str, dataset: str) -> None:
    with pytest.raises(UnknownName):
        train(model, dataset, Path("a"), threads=1)
    assert not Path(".hqp").exists()


def test_a_place_that_cannot_be_written_is_refused_before_the_training() -> None:
    Path("taken").write_text("a file")
    said = r"taken/noise/tiny\.safetensors cannot be written \(Not a directory\); a place that can; try: --out DIR"
    with pytest.raises(HqpError, match=said):
        run("taken")
    assert [path.name for path in Path().iterdir()] == ["taken"]
