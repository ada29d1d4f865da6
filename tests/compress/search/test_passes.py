"""What a pass is entered as, and that what it found is read back as it was written."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn

from hqp.compress.ranking.collect import Sensitivities
from hqp.compress.search import passes
from hqp.compress.search.bound import Bound
from hqp.ledger import Ledger
from hqp.records import Accuracy, Samples

SIZE, COUNT = 4, 80


def job(said: list[int]) -> Any:
    images, labels = np.zeros((COUNT, SIZE, SIZE, 3), np.uint8), np.zeros(COUNT, np.int64)
    selection = Samples(
        "d", "selection", labels, ("a", "b"), (0.5,) * 3, (0.5,) * 3, "d" * 64, lambda i, _: images[np.asarray(i)]
    )
    return SimpleNamespace(selection=selection, input_size=SIZE, track=lambda *_: nullcontext(said.append), warn=print)


def wrong() -> nn.Module:
    """A network that takes every image for one of the other class."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE * SIZE, 2))
    with torch.no_grad():
        model[1].weight[:] = 0
        model[1].bias[:] = torch.tensor([0.0, 1.0])
    return model.eval()


def all_right() -> Accuracy:
    return Accuracy.of(job([]).selection, np.tile(np.array([1.0, 0.0], np.float32), (COUNT, 1)))


def test_a_whole_pass_has_an_accuracy_and_is_entered_whole() -> None:
    ledger, seen = Ledger(), list[int]()
    validation = passes.validation(job(seen), wrong(), None, ledger)
    assert validation.accuracy is not None and validation.accuracy.correct == 0
    (cost,) = ledger.costs
    assert (cost.step, cost.images, cost.passes) == ("validation", COUNT, 1) and sum(seen) == COUNT


def test_a_pass_that_is_stopped_has_none_and_is_entered_as_far_as_it_came() -> None:
    ledger, seen = Ledger(), list[int]()
    bound = Bound(all_right(), 25.0, None)
    assert passes.validation(job(seen), wrong(), bound, ledger) == passes.Validation(None)
    (cost,) = ledger.costs
    assert (cost.images, cost.passes) == (32, 1) and seen == [32], "a batch of 32 wrong ones leaves 48 of 80"


def test_a_pass_that_is_clear_early_has_the_accuracy_so_far() -> None:
    ledger, seen = Ledger(), list[int]()
    # Of the trained network that is wrong everywhere too, nothing can be lost.
    trained = passes.validation(job([]), wrong(), None, Ledger()).accuracy
    assert trained is not None
    bound = Bound(trained, 60.0, 0.9, looks=(0.5,))
    found = passes.validation(job(seen), wrong(), bound, ledger).accuracy
    assert found is not None and bound.holds(found)
    assert (found.total, found.correct, sum(seen)) == (64, 0, 64), "half of 80 lie within two batches of 32"


def test_sensitivities_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    # One layer's values are a view with a stride, which no file holds as it is.
    values = torch.arange(6, dtype=torch.float64).reshape(3, 2)
    found = Sensitivities({"a": values[:, 0], "b": values[0]}, {"a": values[:, 1]})
    passes.save(found, tmp_path)
    read = passes.load(tmp_path)
    assert {name: one.tolist() for name, one in read.fisher.items()} == {"a": [0.0, 2.0, 4.0], "b": [0.0, 1.0]}
    assert {name: one.tolist() for name, one in read.fisher_obd.items()} == {"a": [1.0, 3.0, 5.0]}
