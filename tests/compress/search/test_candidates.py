"""A candidate is a value, and what is made of it is made, entered in the ledger and remembered once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto
from torch import nn

from hqp.compress.job import calibration_batches
from hqp.compress.ranking.sensitivity import sensitivities
from hqp.compress.search import recovery
from hqp.compress.search.bound import Bound
from hqp.compress.search.candidate import TRAINED, Candidate, Quantised, Tuning
from hqp.compress.search.candidates import Candidates
from hqp.compress.training import TrainingRecipe
from hqp.records import (
    Accuracy,
    Cost,
    FineTuning,
    Judged,
    Policy,
    Pruning,
    Quantization,
    Ranking,
    Recipe,
    Recovery,
    Samples,
)
from hqp.store import Store

torch.set_num_threads(1)

SIZE, IMAGES, JUDGED = 8, 40, 64

HOW = Recovery(images=36, compared=20)
RECIPE = Recipe(Pruning((Ranking("fisher"),), recovery=HOW), Quantization(images=24, compared=16))


def samples(split: str, count: int) -> Samples:
    labels = np.arange(count, dtype=np.int64) % 3
    images = np.random.default_rng(len(split)).integers(0, 255, (count, SIZE, SIZE, 3), dtype=np.uint8)
    names = ("a", "b", "c")
    return Samples("d", split, labels, names, (0.5,) * 3, (0.5,) * 3, "d" * 64, lambda i, _: images[np.asarray(i)])


def trained() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.Flatten(), nn.Linear(4 * 16, 3)
    ).eval()


def logits(file: Path, judged: Samples, count: int) -> Any:
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    images = judged.normalised(judged.read(range(count), SIZE))
    return np.concatenate([session.run(None, {"input": image[None]})[0] for image in images])


def job(folder: Path, recipe: Recipe = RECIPE) -> Any:
    calibration, selection = samples("calibration", IMAGES), samples("selection", JUDGED)

    def judge(file: Path) -> Judged:
        return Judged(Accuracy.of(selection, logits(file, selection, JUDGED)), Cost("judging", JUDGED, 1, 0.5))

    return SimpleNamespace(
        model=trained(),
        key={"model": "tiny"},
        recipe=recipe,
        policy=Policy(),
        input_size=SIZE,
        calibration=calibration,
        selection=selection,
        train=lambda: samples("train", 64),
        training=TrainingRecipe(phases=((SIZE, 1),), batch=16, learning_rate=1e-3),
        seed=0,
        example=torch.zeros(1, 3, SIZE, SIZE),
        device="here",
        evaluate=judge,
        test=judge,
        outputs=lambda file, count: logits(file, calibration, count),
        store=Store(folder / "store"),
        track=lambda *_: nullcontext(lambda _: None),
        warn=print,
    )


def spent(candidates: Candidates) -> dict[str, tuple[int, int]]:
    """Images and passes by step."""
    return {cost.step: (cost.images, cost.passes) for cost in candidates.ledger.costs}


def test_candidates_that_are_made_alike_are_equal_and_what_differs_is_another() -> None:
    one = Candidate.without({"a": (0, 2), "b": (1,)}, HOW)
    assert one == Candidate.without({"b": (1,), "a": (0, 2)}, HOW)
    assert dict(one.removal) == {"a": (0, 2), "b": (1,)}
    others = (
        Candidate.without({"a": (0, 2)}, HOW),
        Candidate.without(one.removal),
        Candidate.without(one.removal, HOW, Tuning(TRAINED, FineTuning())),
        Candidate.without(one.removal, HOW, quantised=Quantised(Quantization(), Policy())),
        Candidate.without(one.removal, HOW, quantised=Quantised(Quantization(("kl",)), Policy())),
        Candidate.without(one.removal, HOW, quantised=Quantised(Quantization(), Policy(symmetric=True))),
    )
    assert len({one, *others}) == 7
    assert {other.in_fp32 for other in others[3:]} == {one}
    assert Candidate.without({}, HOW) == TRAINED, "with all channels there is nothing to recover"


def test_the_trained_model_is_not_copied(tmp_path: Path) -> None:
    given = job(tmp_path)
    candidates = Candidates(given)
    assert candidates.module(TRAINED) is given.model
    assert candidates.module(candidates.without({})) is given.model


def test_what_a_recipe_does_not_prune_has_no_groups(tmp_path: Path) -> None:
    assert Candidates(job(tmp_path, Recipe(quantization=Quantization()))).groups() == ()


ORDERS: tuple[tuple[Callable[[Candidates, Candidate], object], ...], ...] = (
    (Candidates.validated, Candidates.module, Candidates.fp32, Candidates.file, Candidates.sensitivities),
    (Candidates.file, Candidates.sensitivities, Candidates.validated, Candidates.module),
    (Candidates.sensitivities, Candidates.module, Candidates.validated, Candidates.file, Candidates.fp32),
)


def test_the_ledger_depends_neither_on_the_order_nor_on_what_was_made_last_nor_on_the_store(tmp_path: Path) -> None:
    found = []
    for number, order in enumerate(ORDERS):
        candidates = Candidates(job(tmp_path / str(number)))
        first, second = (candidates.without({"0": gone}) for gone in ((0,), (0, 1)))
        for work in order:
            work(candidates, first)
            candidates.module(second)
        found.append(spent(candidates))
        again = Candidates(job(tmp_path / str(number)))
        for work in order:
            work(again, first)
        again.recovered(second)
        assert sorted(again.ledger.costs, key=str) == sorted(candidates.ledger.costs, key=str), "seconds and all"
    assert found[0] == found[1] == found[2]
    # The outputs and logits of the trained network; of both candidates a fit, and the logits of two variants.
    assert found[0] == {
        "recovery": (36 + 20 + 2 * (36 + 2 * 20), 2 + 2 * 3),
        "validation": (JUDGED, 1),
        "calibration": (24 + 5 * 16, 6),
        "sensitivity": (IMAGES, 1),
    }


def test_what_the_store_has_is_not_made_but_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Candidates(job(tmp_path))
    candidate = first.without({"0": (0,)})
    trained = first.validated(TRAINED)
    assert trained is not None
    bound = Bound(trained, 100.0, None)
    accuracy = first.validated(candidate, bound)
    monkeypatch.setattr(recovery, "recovered", None)
    monkeypatch.setattr(recovery, "measured", None)
    second = Candidates(job(tmp_path))
    assert second.validated(TRAINED) == trained and second.validated(candidate, bound) == accuracy
    assert second.ledger.costs == first.ledger.costs


def test_a_module_that_is_made_again_is_the_same_and_is_not_entered_again(tmp_path: Path) -> None:
    candidates = Candidates(job(tmp_path))
    first, second = (candidates.without({"0": gone}) for gone in ((0, 3), (1,)))
    module = candidates.module(first)
    assert candidates.module(replace(first, quantised=None)) is module, "the one made last is at hand"
    before = candidates.ledger.costs
    candidates.module(second)
    after = candidates.ledger.costs
    again = candidates.module(first)
    assert again is not module and candidates.ledger.costs == after != before
    assert module.state_dict().keys() == again.state_dict().keys()
    assert all(torch.equal(values, again.state_dict()[name]) for name, values in module.state_dict().items())


def test_an_accuracy_is_judged_and_entered_once_for_each_candidate_and_none_for_the_trained_model(
    tmp_path: Path,
) -> None:
    given = job(tmp_path)
    judge, files = given.evaluate, []
    given.evaluate = lambda file: (files.append(file), judge(file))[1]
    candidates = Candidates(given)
    whole, smaller = candidates.without({}), candidates.without({"0": (0,)})
    for _ in range(2):
        candidates.trained_on_selection, candidates.on_selection(whole), candidates.on_selection(smaller)
    candidates.on_test(smaller)
    assert files == [candidates.fp32(TRAINED), candidates.file(whole), candidates.file(smaller)]
    assert (spent(candidates)["verification"], spent(candidates)["certificate"]) == ((2 * JUDGED, 2), (JUDGED, 1))


def test_a_calibration_can_be_given_back_by_itself(tmp_path: Path) -> None:
    candidates = Candidates(job(tmp_path))
    nearest = candidates.without({"0": (0,)})
    assert nearest.quantised is not None
    how = Quantization(("minmax",), images=24, compared=16)
    minmax = replace(nearest, quantised=replace(nearest.quantised, how=how))
    assert nearest.calibrated_by("minmax") == minmax
    files = {candidates.file(nearest), candidates.file(minmax), candidates.fp32(nearest)}
    assert len(files) == 3 and candidates.fp32(minmax) == candidates.fp32(nearest)
    chosen, fixed = candidates.calibrated(nearest), candidates.calibrated(minmax)
    assert chosen is not None and set(chosen.divergences) == {"kl", "percentile", "mse", "minmax"}
    assert fixed is not None and (fixed.calibration, fixed.divergences) == ("minmax", {})
    assert candidates.calibrated(nearest.in_fp32) is None


def int8_weights(file: Path) -> int:
    """How many layers have weights in INT8."""
    return sum(len(one.dims) > 1 and one.data_type == TensorProto.INT8 for one in onnx.load(file).graph.initializer)


def test_the_precision_of_a_layer_can_be_given_back_by_itself(tmp_path: Path) -> None:
    candidates = Candidates(job(tmp_path))
    whole = candidates.without({})
    assert whole.quantised is not None
    mixed, alike = (
        replace(whole, quantised=replace(whole.quantised, policy=Policy(layers=layers)))
        for layers in ({"0": "float", "5": "int8"}, {"5": "int8", "0": "float"})
    )
    assert mixed == alike and hash(mixed) == hash(alike) and mixed != whole
    assert (int8_weights(candidates.file(whole)), int8_weights(candidates.file(mixed))) == (3, 2)
    assert candidates.fp32(mixed) == candidates.fp32(whole)


def test_a_trained_candidate_is_made_of_what_the_value_says_and_pays_for_all_of_it(tmp_path: Path) -> None:
    how = FineTuning(epochs=1)
    found = []
    for _ in range(2):
        candidates = Candidates(job(tmp_path))
        before = candidates.without({"0": (0,)})
        after = candidates.without({"0": (0, 1)}, Tuning(before.in_fp32, how))
        module = candidates.module(after)
        candidates.validated(after)
        found.append((candidates.ledger.costs, module.state_dict()))
        assert candidates.recovered(after) is None, "training came after it"
    (costs, first), (again, second) = found
    assert sorted(again, key=str) == sorted(costs, key=str)
    assert first["0.weight"].shape == (6, 3, 3, 3)
    assert all(torch.equal(values, second[name]) for name, values in first.items())
    by_step = {cost.step: (cost.images, cost.passes) for cost in costs}
    assert by_step["training"] == (64, 1)
    # The trained network and the candidate before, then its weights and what goes of them.
    measured, recovered = (36 + 20, 2), (36 + 2 * 20, 3)
    assert by_step["recovery"] == tuple(2 * (one + other) for one, other in zip(measured, recovered, strict=True))
    assert not [*tmp_path.glob("store/train/*.pt")], "what the next epoch needs is not needed any more"


@pytest.mark.parametrize(("images", "seen"), [(8, 8), (64, 40), (None, 40)])
def test_sensitivity_sees_the_images_that_are_asked_for(tmp_path: Path, images: int | None, seen: int) -> None:
    given = job(tmp_path, Recipe(pruning=Pruning((Ranking("fisher"),), images=images)))
    candidates = Candidates(given)
    found = candidates.sensitivities(TRAINED)
    batches = [
        (torch.from_numpy(inputs), torch.from_numpy(given.calibration.labels[list(indices)]))
        for indices, inputs in calibration_batches(given, seen)
    ]
    assert torch.equal(found.fisher["0"], sensitivities(given.model, batches).fisher["0"])
    assert spent(candidates) == {"sensitivity": (seen, 1)}
