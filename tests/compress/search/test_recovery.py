"""Which variant of recovery a candidate gets: the one that stays nearest to the trained network, on its images."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hqp.compress.search.candidates import Candidates
from hqp.records import Pruning, Ranking, Recipe, Recovery, Samples, Variant
from hqp.store import Store

SIZE, CLASSES = 8, 4
FITTED_AT_ONCE: tuple[Variant, ...] = ("none", "least_squares", "relative", "absolute")


class Net(nn.Module):
    """Two convolutions with batch norms; the first has channels that it can lose."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm1 = nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.second, self.norm2 = nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm1(self.first(x)))
        return self.head(F.relu(self.norm2(self.second(x))).mean((2, 3)))


def images(seed: int, count: int, brightness: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Patches in noise, told apart by their colour and place; uint8 (n, 8, 8, 3), and their labels."""
    draw = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int64) % CLASSES
    found = draw.normal(90, 20, (count, SIZE, SIZE, 3))
    for one, label in enumerate(labels):
        top, left = draw.integers(0, SIZE // 2, 2)
        found[one, top : top + 4, left : left + 4, label % 3] += 60 if label < 3 else -40
    return np.clip(found + brightness, 0, 255).astype(np.uint8), labels


def samples(split: str, seed: int, count: int, brightness: int = 0) -> Samples:
    pixels, labels = images(seed, count, brightness)
    names = tuple("abcd")
    return Samples("x", split, labels, names, (0.4,) * 3, (0.2,) * 3, "d" * 64, lambda i, _: pixels[np.asarray(i)])


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    """A network trained on images of the usual brightness."""
    torch.manual_seed(0)
    net, train = Net().train(), samples("train", 1, 512)
    inputs, labels = torch.from_numpy(train.normalised(train.read(range(512), SIZE))), torch.from_numpy(train.labels)
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for step in range(48):
        chosen = torch.arange(64) + 64 * (step % 8)
        optimizer.zero_grad()
        F.cross_entropy(net(inputs[chosen]), labels[chosen]).backward()
        optimizer.step()
    return net.eval()


def job(folder: Path, model: nn.Module, how: Recovery, calibration: Samples) -> Any:
    return SimpleNamespace(
        model=model,
        key={"calibration": [how.images, calibration.normalised(calibration.read([0], SIZE)).sum().item()]},
        recipe=Recipe(pruning=Pruning((Ranking("fisher"),), recovery=how)),
        calibration=calibration,
        input_size=SIZE,
        example=torch.zeros(1, 3, SIZE, SIZE),
        store=Store(folder),
        track=lambda *_: nullcontext(lambda _: None),
        warn=print,
    )


def made(given: Any, channels: tuple[int, ...]) -> Any:
    """The module without these channels, and how it was recovered."""
    candidates = Candidates(given)
    candidate = candidates.without({"first": channels})
    return SimpleNamespace(model=candidates.module(candidate), recovered=candidates.recovered(candidate))


def right(model: nn.Module, judged: Samples) -> int:
    with torch.no_grad():
        logits = model(torch.from_numpy(judged.normalised(judged.read(range(len(judged)), SIZE))))
    return int((logits.argmax(1).numpy() == judged.labels).sum())


def test_statistics_taken_anew_from_brighter_images_break_the_bound_and_what_is_picked_does_not(
    trained: nn.Module, tmp_path: Path
) -> None:
    brighter, judged, eight = samples("calibration", 3, 128, brightness=20), samples("test", 5, 800), tuple(range(8))
    found = {}
    for variants in (*((one,) for one in FITTED_AT_ONCE), FITTED_AT_ONCE):
        how = Recovery(variants, images=128, compared=64)
        found[variants] = made(job(tmp_path / "-".join(variants), trained, how, brighter), eight)
    dense, bound = right(trained, judged), 0.015 * len(judged)
    assert dense - right(found[("absolute",)].model, judged) > 10 * bound
    assert dense - right(found[FITTED_AT_ONCE].model, judged) <= bound
    picked = found[FITTED_AT_ONCE].recovered
    assert picked.divergences.keys() == set(FITTED_AT_ONCE)
    assert picked.divergences[picked.variant] == min(picked.divergences.values()) < picked.divergences["absolute"] / 100
    alone, together = (found[variants].model.state_dict() for variants in ((picked.variant,), FITTED_AT_ONCE))
    assert all(torch.equal(values, together[name]) for name, values in alone.items()), "it is the variant itself"
    assert found[("absolute",)].recovered.divergences == {}, "of one there is nothing to compare"


def test_where_what_goes_was_not_used_nothing_is_done(trained: nn.Module, tmp_path: Path) -> None:
    unused = Net().eval()
    unused.load_state_dict(trained.state_dict())
    with torch.no_grad():
        unused.second.weight[:, 5] = 0
    smaller = made(job(tmp_path, unused, Recovery(images=64, compared=32), samples("calibration", 3, 64)), (5,))
    assert smaller.recovered.variant == "none" and smaller.recovered.divergences["none"] < 1e-9
    assert torch.equal(smaller.model.norm2.running_mean, unused.norm2.running_mean)
    assert torch.equal(smaller.model.second.weight, unused.second.weight[:, [one for one in range(16) if one != 5]])


def test_a_network_without_batch_norms_has_no_statistics_to_move(tmp_path: Path) -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(128, CLASSES))
    given = job(tmp_path, plain.eval(), Recovery(images=64, compared=32), samples("calibration", 3, 64))
    candidates = Candidates(given)
    found = candidates.recovered(candidates.without({candidates.groups()[0].name: (0, 1)}))
    assert found is not None and found.divergences.keys() == {"none", "sequential"}
    only = job(tmp_path, plain, Recovery(("absolute",), images=64), given.calibration)
    candidates = Candidates(only)
    found = candidates.recovered(candidates.without({candidates.groups()[0].name: (0, 1)}))
    assert found is not None and found.variant == "least_squares"


def test_what_the_trained_network_shows_is_measured_once(trained: nn.Module, tmp_path: Path) -> None:
    how = Recovery(FITTED_AT_ONCE, images=64, compared=32)
    given = job(tmp_path, trained, how, samples("calibration", 3, 64))
    found = Candidates(given).reference(how)
    entries = {place: place.stat().st_mtime_ns for place in (tmp_path / "shown").rglob("*.safetensors")}
    again = Candidates(given).reference(how)
    assert {place: place.stat().st_mtime_ns for place in entries} == entries and len(entries) == 1
    assert torch.equal(found.logits, again.logits) and found.logits.shape == (32, CLASSES)
    assert found.grams.keys() == again.grams.keys() == {"second", "head"}
    assert found.moments.keys() == again.moments.keys() == {"norm1", "norm2"}
    assert all(torch.equal(one, other) for name in found.moments
               for one, other in zip(found.moments[name], again.moments[name], strict=True))  # fmt: skip


def test_by_default_layers_are_fitted_in_order_and_no_gram_matrix_is_taken(trained: nn.Module, tmp_path: Path) -> None:
    given = job(tmp_path, trained, Recovery(images=64, compared=32), samples("calibration", 3, 64))
    found = Candidates(given).reference(Recovery(images=64, compared=32))
    assert found.grams == {} and found.moments == {}
    assert {name: tuple(rows.shape) for name, rows in found.outputs.items()} == {
        "first": (1024, 16), "second": (1024, 16), "head": (64, CLASSES),
    }  # fmt: skip
    assert made(given, tuple(range(8))).recovered.divergences.keys() == {"none", "sequential"}


def test_a_layer_is_fitted_to_what_the_pruned_layers_before_it_hand_on(tmp_path: Path) -> None:
    """Fitted to what the trained network's layers hand on, each layer loses more than it has to."""
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 12, 3), nn.ReLU(), nn.Conv2d(12, 12, 3), nn.ReLU(), nn.Flatten(), nn.Linear(192, CLASSES)
    model, seen, new = nn.Sequential(*layers).eval(), samples("calibration", 3, 256), samples("test", 5, 256)
    inputs = torch.from_numpy(new.normalised(new.read(range(len(new)), SIZE)))
    errors: dict[Variant, float] = {}
    with torch.no_grad():
        for variant in ("least_squares", "sequential"):
            given = job(tmp_path / variant, model, Recovery((variant,), images=256), seen)
            candidates = Candidates(given)
            one, other = candidates.groups()
            smaller = candidates.module(candidates.without({one.name: tuple(range(6)), other.name: tuple(range(6))}))
            errors[variant] = float((smaller(inputs) - model(inputs)).square().mean())
    assert errors["sequential"] < 0.9 * errors["least_squares"]
