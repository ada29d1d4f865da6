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

from hqp.compress.channels.finding import find_groups
from hqp.compress.job import Draft, calibration
from hqp.compress.ranking.sensitivity import sensitivities
from hqp.compress.search import candidates, passes
from hqp.compress.search.qat_cost import estimate_training, training_steps
from hqp.compress.search.recovery import shown
from hqp.records import Cost, Pruning, Ranking, Recipe, Recovery, Samples
from hqp.store import Store


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
    cost = training_steps(given)
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
    assert training_steps(given).images == 25 * 32 + 25 * 8


def test_five_epochs_take_what_their_images_take() -> None:
    measured = Cost("training steps", 1600, 1, 8.0)
    store = SimpleNamespace(record=lambda kind, key, of, compute: measured)
    recipe = Recipe(pruning=Pruning((Ranking("fisher"),)))
    draft = Draft()
    estimate_training(job(store=store, key={}, recipe=recipe, train_images=30_000), draft)
    assert draft.qat == Cost("quantisation-aware training", 150_000, 5, 750.0)
    tiny = SimpleNamespace(record=lambda kind, key, of, compute: Cost("training steps", 1600, 1, 0.02))
    estimate_training(job(store=tiny, key={}, recipe=recipe, train_images=20), draft)
    assert draft.qat.seconds == pytest.approx(0.00125), "what little it takes is not rounded to nothing"
    draft = Draft()
    estimate_training(job(recipe=Recipe()), draft)
    assert draft.qat is None


def test_the_recovery_of_a_file_is_counted_by_all_who_take_it(tmp_path: Path) -> None:
    recipe = Recipe(pruning=Pruning((Ranking("fisher"),), recovery=Recovery(images=36, compared=20)))
    given = job(store=Store(tmp_path), key={}, recipe=recipe, example=torch.zeros(1, 3, 8, 8), warn=print)
    first, second, third = (Draft(groups=find_groups(given.model, given.example)) for _ in range(3))
    removal = {first.groups[0].name: (0,)}
    for draft in (first, second):
        shown(given, draft, recipe.pruning.recovery)
        candidates.exported(given, draft, removal)
    spent = first.costs["recovery"]
    # Gram matrices, moments and logits of the trained network; the candidate's moments, and the logits of 4 variants.
    assert (spent.images, spent.passes) == (36 + 36 + 20 + 36 + 4 * 20, 3 + 5)
    assert spent.seconds > 0 and second.costs == first.costs
    assert candidates.made(given, third, removal)[1] is not None
    assert candidates.made(given, third, removal)[1] is None, "the one made last is at hand"


@pytest.mark.parametrize(("images", "taken"), [(8, 8), (64, 40), (None, 40)])
def test_sensitivity_sees_the_images_that_are_asked_for(tmp_path: Path, images: int | None, taken: int) -> None:
    recipe = Recipe(pruning=Pruning((Ranking("fisher"),), images=images))
    given = job(store=Store(tmp_path), recipe=recipe, warn=print)
    draft = Draft()
    found = passes.measured(given, draft, given.model, {})
    batches = [(torch.from_numpy(inputs), torch.from_numpy(given.calibration.labels[list(indices)]))
               for indices, inputs in calibration(given, taken)]  # fmt: skip
    assert torch.equal(found.fisher["0"], sensitivities(given.model, batches).fisher["0"])
    assert (draft.costs["sensitivity"].images, draft.costs["sensitivity"].passes) == (taken, 1)
