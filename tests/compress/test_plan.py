"""The expected work of each step: of all that run, and only of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hqp.compress import pipeline, plan
from hqp.compress.search import redundant
from hqp.records import FineTuning, Pruning, Quantization, Ranking, Recipe, Recovery, Rounds


def job(recipe: Recipe, needs: frozenset[str] = frozenset()) -> Any:
    split = SimpleNamespace(calibration=range(2000), selection=range(5000))
    return SimpleNamespace(
        recipe=recipe, needs=needs, train_images=30_000, calibration=split.calibration, selection=split.selection
    )


def test_every_step_that_is_foreseen_is_one_of_the_pipeline() -> None:
    whole = Recipe(Pruning((Ranking("fisher"),)), Quantization(), alpha=0.05)
    assert set(plan.expected(job(whole))) == {step.__name__ for step in pipeline.STEPS}


def test_without_pruning_the_file_is_made_and_judged() -> None:
    assert plan.expected(job(Recipe())) == {"judge_dense": 5000, "ship": 5000}


def test_calibration_takes_no_more_images_than_there_are() -> None:
    quantised = plan.expected(job(Recipe(quantization=Quantization(images=9999))))
    assert quantised["ship"] == plan.QUANTISED * 5000 + plan.CALIBRATION * 2000


def test_rounds_are_training_and_a_judgement_each() -> None:
    rounds = Rounds(most=3, fine_tuning=FineTuning(epochs=2))
    works = plan.expected(job(Recipe(Pruning((Ranking("fisher"),), rounds=rounds))))
    assert works["deepen"] == 3 * (plan.TRAINING * 2 * 30_000 + plan.CANDIDATE * 5000)


def test_the_search_is_what_is_judged_and_what_its_criterion_asks_for() -> None:
    ranked = (Ranking("any"),)
    judged = plan.CANDIDATE * 5000

    def searched(pruning: Pruning, *needs: str) -> float:
        return plan.expected(job(Recipe(pruning), frozenset(needs)))["prune_under_bound"]

    alone = searched(Pruning(ranked))
    assert alone == plan.SEARCHED * judged
    assert searched(Pruning(ranked, blocks=True)) - alone == plan.WITHOUT_BLOCKS * judged
    assert searched(Pruning(ranked, images=1000), "sensitivity") - alone == plan.SENSITIVITY * 1000
    refitted = Pruning(ranked, images=1000, recovery=Recovery(images=512))
    ordered = plan.ORDER * redundant.IMAGES
    assert searched(refitted, "sensitivity", "redundancy") - alone == plan.SENSITIVITY * 1000 + ordered
