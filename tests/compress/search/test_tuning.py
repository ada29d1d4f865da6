"""The training between two rounds: by which recipe, under which name, and how far the display says that it is."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from hqp.compress import training
from hqp.compress.search import tuning
from hqp.compress.training import TrainingRecipe
from hqp.records import FineTuning

OWN = TrainingRecipe(phases=((32, 5), (48, 10)), batch=16, learning_rate=0.02, precision="bfloat16")


def job(**changes: Any) -> Any:
    given = {"training": OWN, "input_size": 24, "seed": 7, "train": lambda: SimpleNamespace(digest="d" * 64)}
    return SimpleNamespace(**{**given, **changes})


def test_a_model_is_trained_as_it_was_at_a_share_of_its_rate_and_at_the_size_that_is_judged() -> None:
    found = tuning.recipe(job(), FineTuning(epochs=3, learning_rate=0.5))
    assert found == replace(OWN, phases=((24, 3),), learning_rate=0.01, precision="float32")


@pytest.mark.parametrize(
    ("given", "how"),
    [
        (job(seed=8), FineTuning()),
        (job(input_size=32), FineTuning()),
        (job(train=lambda: SimpleNamespace(digest="e" * 64)), FineTuning()),
        (job(training=replace(OWN, batch=8)), FineTuning()),
        (job(), FineTuning(epochs=3)),
        (job(), FineTuning(teacher=0.5)),
    ],
)
def test_another_training_has_another_name(given: Any, how: FineTuning) -> None:
    assert tuning.key(given, how) != tuning.key(job(), FineTuning())
    assert tuning.key(job(), how) == tuning.key(job(), how)


def test_a_training_that_goes_on_begins_where_it_was_killed() -> None:
    seen: list[int] = []
    count = tuning._counted(16, seen.append)
    # Four steps an epoch: the first epoch was done before.
    for step in (1, 2, 4):
        count(training.Step(epoch=2, epochs=2, step=step, steps=4, size=24, loss=1.0))
    assert seen == [5 * 16, 16, 2 * 16]
