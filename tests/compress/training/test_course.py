"""Training: the same seed gives the same bytes, also where a kill came between."""

from __future__ import annotations

import copy
import io
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hqp.compress.training import Step, TrainingImages, TrainingRecipe, count_correct, fit, start
from hqp.compress.training.images import augmented, batch
from hqp.compress.training.optimizer import optimizer_of, set_learning_rate
from hqp.errors import HqpError

RECIPE = TrainingRecipe(phases=((16, 2), (24, 1)), batch=16)


def images(count: int = 64, seed: int = 0) -> TrainingImages:
    """Four classes that a network can tell apart by their mean colour."""
    noise = np.random.default_rng(seed).integers(0, 120, (count, 24, 24, 3))
    labels = np.arange(count) % 4
    tint = np.array([[130, 0, 0], [0, 130, 0], [0, 0, 130], [130, 130, 130]])[labels]
    pixels = (noise + tint[:, None, None]).astype(np.uint8)
    return TrainingImages(
        lambda chosen: pixels[np.asarray(chosen)],
        labels.astype(np.int64),
        (0.4, 0.4, 0.4),
        (0.25, 0.25, 0.25),
        f"tinted-{seed}",
    )


def network() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Sequential(
            nn.Conv2d(3, 8, 3),
            nn.BatchNorm2d(8, momentum=0.01),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, 4),
        )


def weights(model: nn.Module) -> bytes:
    return b"".join(value.numpy().tobytes() for value in model.state_dict().values())


def trained(model: nn.Module, *args: Any, **options: Any) -> bytes:
    """The model's weights after ``fit`` with the rest of the arguments."""
    fit(model, *args, **options)
    return weights(model)


class Killed(BaseException):
    """What ends a process, as far as the code inside it can tell."""


def kill_at(epoch: int, step: int) -> Callable[[Step], None]:
    def on_step(at: Step) -> None:
        if (at.epoch, at.step) == (epoch, step):
            raise Killed

    return on_step


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(
    precision: Literal["float32", "bfloat16"],
) -> None:
    recipe = replace(RECIPE, precision=precision)
    first = trained(network(), images(), recipe, seed=3)
    torch.manual_seed(99)
    assert trained(network(), images(), recipe, seed=3) == first
    assert trained(network(), images(), recipe, seed=4) != first


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize(("epoch", "step"), [(1, 2), (2, 1), (2, 4), (3, 3)])
def test_a_killed_training_goes_on_and_ends_in_the_same_bytes(
    tmp_path: Path, epoch: int, step: int, optimizer: Literal["adamw", "sgd"]
) -> None:
    state, recipe = tmp_path / "states" / "tiny.pt", replace(RECIPE, optimizer=optimizer)
    whole = trained(network(), images(), recipe, seed=3)
    with pytest.raises(Killed):
        fit(network(), images(), recipe, seed=3, state=state, on_step=kill_at(epoch, step))
    steps: list[Step] = []
    assert trained(network(), images(), recipe, seed=3, state=state, on_step=steps.append) == whole
    assert steps[0].epoch == epoch, "finished epochs are not trained again"


def test_a_finished_training_is_not_repeated(tmp_path: Path) -> None:
    state = tmp_path / "tiny.pt"
    whole = trained(network(), images(), RECIPE, state=state)
    assert trained(network(), images(), RECIPE, state=state, on_step=kill_at(1, 1)) == whole


def test_the_seconds_of_finished_epochs_are_kept_over_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1_000, 10))
    monkeypatch.setattr("hqp.compress.training.course.time.perf_counter", lambda: next(clock))
    state = tmp_path / "tiny.pt"
    with pytest.raises(Killed):
        fit(network(), images(), RECIPE, state=state, on_step=kill_at(3, 1))
    assert fit(network(), images(), RECIPE, state=state) == 30, "three epochs of ten seconds by this clock"


def test_a_kill_while_saving_leaves_the_last_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = tmp_path / "tiny.pt"
    whole = trained(network(), images(), RECIPE)
    replace_file, calls = os.replace, []

    def dies_the_second_time(written: str, path: Path) -> None:
        calls.append(path)
        if len(calls) == 2:
            raise Killed
        replace_file(written, path)

    monkeypatch.setattr(os, "replace", dies_the_second_time)
    with pytest.raises(Killed):
        fit(network(), images(), RECIPE, state=state)
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.pt"]
    assert trained(network(), images(), RECIPE, state=state) == whole


def test_the_state_of_another_training_is_not_gone_on_from(tmp_path: Path) -> None:
    torch.manual_seed(2)
    wider = network()
    wider[0] = nn.Conv2d(3, 8, 5)
    others = (
        (network(), images(), RECIPE, 4),
        (network(), images(), replace(RECIPE, learning_rate=1e-3), 3),
        (network(), images(seed=1), RECIPE, 3),
        (wider, images(), RECIPE, 3),
    )
    for number, (model, sample, recipe, seed) in enumerate(others):
        state = tmp_path / f"{number}.pt"
        fit(network(), images(), RECIPE, seed=3, state=state)
        told: list[str] = []
        alone = trained(copy.deepcopy(model), sample, recipe, seed=seed)
        assert trained(model, sample, recipe, seed=seed, state=state, say=told.append) == alone
        assert told == [f"{state} is the state of another training; this one starts anew"]


def emptied(content: bytes) -> bytes:
    return b""


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flipped(content: bytes) -> bytes:
    """One bit of a weight is another."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def runs_code(content: bytes) -> bytes:
    written = io.BytesIO()
    torch.save({"name": Killed}, written)
    return written.getvalue()


@pytest.mark.parametrize("damage", [emptied, cut, flipped, runs_code])
def test_a_damaged_state_is_told_and_the_training_starts_anew(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    state, whole = tmp_path / "tiny.pt", trained(network(), images(), RECIPE)
    with pytest.raises(Killed):
        fit(network(), images(), RECIPE, state=state, on_step=kill_at(3, 1))
    state.write_bytes(damage(state.read_bytes()))
    told: list[str] = []
    assert trained(network(), images(), RECIPE, state=state, say=told.append) == whole
    assert told == [f"{state} is damaged; the training starts anew"]


@pytest.mark.parametrize(("optimizer", "learning_rate"), [("adamw", 0.03), ("sgd", 0.1)])
def test_training_learns_and_leaves_the_model_ready_for_use(
    optimizer: Literal["adamw", "sgd"], learning_rate: float
) -> None:
    model, phases = network(), ((12, 4), (24, 4))
    fit(model, images(), replace(RECIPE, phases=phases, learning_rate=learning_rate, optimizer=optimizer))
    assert count_correct(model, images(seed=5), 24) >= 60
    assert not model.training
    assert model[1].momentum == 0.01, "the model's own momentum is back"
    assert not torch.are_deterministic_algorithms_enabled()


class Helped(nn.Sequential):
    """With a second output in training mode, as auxiliary heads have, or what ``give`` makes of the logits."""

    give: Any = staticmethod(lambda logits: (logits, -logits))

    def forward(self, x: Tensor) -> Any:
        logits = super().forward(x)
        return self.give(logits) if self.training else logits


def test_of_several_outputs_the_first_is_trained() -> None:
    assert trained(Helped(*network()), images(), RECIPE) == trained(network(), images(), RECIPE)
    odd = Helped(*network())
    odd.give = lambda logits: {"logits": logits}
    with pytest.raises(HqpError, match=r"the model returns a dict \(logits\); one tensor of logits"):
        fit(odd, images(), RECIPE)


@pytest.mark.parametrize("sizes", [(16,), (16, 24)])
def test_a_start_is_refused_where_the_network_does_not_take_a_size(sizes: tuple[int, ...]) -> None:
    build = lambda classes: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 30**2, classes))  # noqa: E731
    with pytest.raises(HqpError) as refused:
        start(build, 4, sizes)
    assert "cannot take an image of 16x16 pixels" in str(refused.value)
    assert str(refused.value).endswith('try: training = {"phases": ((32, 10),)} in the file that builds the model')


def test_a_start_is_a_function_of_the_seed_for_lazy_layers_too() -> None:
    build = lambda classes: nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten(), nn.LazyLinear(classes))  # noqa: E731
    first, again, other = (weights(start(build, 4, (8,), seed=seed)) for seed in (1, 1, 2))
    assert first == again != other


def test_training_leaves_the_caller_s_random_numbers_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    fit(network(), images(), RECIPE)
    assert torch.equal(torch.rand(3), expected)


def test_every_step_is_reported_once_with_its_size() -> None:
    steps: list[Step] = []
    fit(network(), images(70), RECIPE, on_step=steps.append)
    assert [(s.epoch, s.step, s.size) for s in steps] == [
        (e, s, (16, 16, 24)[e - 1]) for e in (1, 2, 3) for s in (1, 2, 3, 4)
    ]
    assert {(s.epochs, s.steps) for s in steps} == {(3, 4)}


def test_the_learning_rate_rises_then_falls_to_nearly_nothing() -> None:
    optimizer = optimizer_of(network(), RECIPE)
    rates = []
    for step in range(100):
        set_learning_rate(optimizer, RECIPE, step, 100)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates[0] == pytest.approx(RECIPE.learning_rate / 20)
    assert int(np.argmax(rates)) == 19
    assert max(rates) == RECIPE.learning_rate
    assert 0 < rates[-1] < RECIPE.learning_rate / 500
    assert np.all(np.diff(rates[20:]) < 0)


def test_only_matrices_and_kernels_are_decayed() -> None:
    decayed, free = optimizer_of(network(), RECIPE).param_groups
    assert [p.ndim for p in decayed["params"]] == [4, 2]
    assert all(p.ndim == 1 for p in free["params"])
    assert len(free["params"]) == 4
    assert (decayed["weight_decay"], free["weight_decay"]) == (RECIPE.weight_decay, 0.0)


def test_inputs_are_normalised_and_scaled_down_without_aliasing() -> None:
    stripes = np.zeros((1, 8, 8, 3), np.uint8)
    stripes[:, :, ::2] = 255
    sample = TrainingImages(
        lambda chosen: stripes[np.asarray(chosen)], np.zeros(1, np.int64), (0.5, 0.5, 0.5), (0.5, 0.25, 0.25), "stripes"
    )
    inputs, _ = batch(sample, [0], 8, torch.device("cpu"))
    assert inputs[0, :, 0, 0].tolist() == [1, 2, 2]
    small, _ = batch(sample, [0], 4, torch.device("cpu"))
    assert small.abs().max() < 0.3, "stripes of one pixel average to grey"


def test_augmentation_of_nothing_changes_nothing() -> None:
    still = replace(RECIPE, shift=0.0, scale=0.0, brightness=0.0, contrast=0.0)
    inputs = torch.rand(3, 3, 16, 16)
    draws = torch.Generator().manual_seed(0)
    assert torch.allclose(augmented(inputs, still, draws), inputs, atol=1e-4)
    assert not torch.allclose(augmented(inputs, RECIPE, draws), inputs, atol=1e-2)


def test_flipping_mirrors_some_images_and_only_them() -> None:
    still = replace(RECIPE, shift=0.0, scale=0.0, brightness=0.0, contrast=0.0, flip=True)
    inputs = torch.rand(40, 3, 16, 16)
    found = augmented(inputs, still, torch.Generator().manual_seed(0))
    flipped = [torch.allclose(one, image.flip(2), atol=1e-4) for one, image in zip(found, inputs, strict=True)]
    kept = [torch.allclose(one, image, atol=1e-4) for one, image in zip(found, inputs, strict=True)]
    assert all(a != b for a, b in zip(flipped, kept, strict=True)) and 10 < sum(flipped) < 30


def test_erasing_greys_a_square_of_each_image() -> None:
    still = replace(RECIPE, shift=0.0, scale=0.0, brightness=0.0, contrast=0.0, erase=0.5)
    found = augmented(torch.ones(40, 3, 16, 16), still, torch.Generator().manual_seed(0))
    grey = (found.abs() < 1e-4).flatten(1).float().mean(1)
    assert grey.max() == 0.25 and 0.0625 <= grey.min() < 0.25, "at an edge, part of the square lies outside"


def test_images_are_spread_over_all_of_them() -> None:
    labels = np.repeat(np.arange(4), 5)
    sample = TrainingImages(lambda wanted: labels[wanted].astype(np.uint8), labels, (0, 0, 0), (1, 1, 1), "sorted")
    spread = sample.spread(8)
    assert spread.labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert spread.read([1, 7]).tolist() == [0, 3] and len(sample.spread(99)) == 20


def test_counting_leaves_the_last_batch_in_and_agrees_with_the_outputs() -> None:
    model = network().eval()
    sample = images(37)
    inputs, labels = batch(sample, range(37), 24, torch.device("cpu"))
    expected = int((model(inputs).argmax(1) == labels).sum())
    assert count_correct(model, sample, 24, at_once=10) == expected


def test_a_loss_that_is_no_number_ends_the_training() -> None:
    model = network()
    with torch.no_grad():
        model[-1].weight.fill_(float("nan"))
    with pytest.raises(HqpError, match=r"epoch 1.*lower learning rate"):
        fit(model, images(), RECIPE)


@pytest.mark.parametrize("wrong", [{"phases": ()}, {"phases": ((0, 1),)}, {"phases": ((16, 0),)}, {"batch": 1}])
def test_a_recipe_that_cannot_train_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(HqpError, match=r"no training"):
        TrainingRecipe(**wrong)  # type: ignore[arg-type]


def test_fewer_images_than_a_batch_are_refused() -> None:
    with pytest.raises(HqpError, match=r"8 images are fewer than one batch"):
        fit(network(), images(8), RECIPE)
