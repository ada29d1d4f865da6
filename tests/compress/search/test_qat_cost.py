"""What training would take is measured on a copy: fifty steps, counted."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hqp.compress.search.candidates import Candidates
from hqp.compress.search.draft import Draft
from hqp.compress.search.qat_cost import estimate_training, training_steps
from hqp.ledger import Ledger
from hqp.records import Cost, Pruning, Ranking, Recipe, Samples
from hqp.store import Entry


def job(**changes: Any) -> Any:
    labels = np.arange(40, dtype=np.int64) % 3
    images = np.random.default_rng(0).integers(0, 255, (40, 8, 8, 3), dtype=np.uint8)
    samples = Samples(
        "d", "calibration", labels, ("a", "b", "c"), (0.5,) * 3, (0.5,) * 3, "d" * 64, lambda i, _: images[i]
    )
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 3)).eval()
    return SimpleNamespace(
        model=model, calibration=samples, input_size=8, track=lambda *_: nullcontext(lambda _: None), **changes
    )


def test_fifty_steps_are_counted_and_leave_the_model_as_it_is() -> None:
    given = job()
    before = {name: value.clone() for name, value in given.model.state_dict().items()}
    ledger = Ledger()
    training_steps(given, ledger)
    (cost,) = ledger.costs
    # Batches of 32 and 8, in turn.
    assert (cost.images, cost.passes) == (25 * 32 + 25 * 8, 1) and cost.seconds > 0
    assert not given.model.training
    assert all(torch.equal(value, before[name]) for name, value in given.model.state_dict().items())


class Helped(nn.Sequential):
    """With an auxiliary head in training mode."""

    def forward(self, x: Tensor) -> Any:
        logits = super().forward(x)
        return (logits, logits) if self.training else logits


def test_a_network_with_an_auxiliary_head_is_trained_by_its_logits() -> None:
    given = job()
    given.model = Helped(*given.model).eval()
    ledger = Ledger()
    training_steps(given, ledger)
    assert ledger.costs[0].images == 25 * 32 + 25 * 8


def estimated(seconds: float, **changes: Any) -> Cost | None:
    """What five epochs take where fifty steps took so many seconds."""
    measured = Entry(Path(), (Cost("training steps", 1600, 1, seconds),))
    store = SimpleNamespace(costed=lambda kind, key, build: measured)
    draft = Draft(Candidates(job(store=store, key={}, **changes)))
    estimate_training(draft)
    return draft.qat


def test_five_epochs_take_what_their_images_take() -> None:
    recipe = Recipe(pruning=Pruning((Ranking("fisher"),)))
    assert estimated(8.0, recipe=recipe, train_images=30_000) == Cost("quantisation-aware training", 150_000, 5, 750.0)
    tiny = estimated(0.02, recipe=recipe, train_images=20)
    assert tiny is not None
    assert tiny.seconds == pytest.approx(0.00125), "what little it takes is not rounded to nothing"
    assert estimated(8.0, recipe=Recipe(), train_images=20) is None
