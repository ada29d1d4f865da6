"""How a model is trained: what is said of the pair goes before its dataset, and that before the model."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from hqp import catalog
from hqp.compress.training import TrainingRecipe
from hqp.datasets import signs
from hqp.errors import HqpError
from hqp.run.training_recipe import at_size, last_phase, recipe_of

MODEL = SimpleNamespace(training={"phases": ((8, 1), (12, 2)), "batch": 8})
FLIPPED = SimpleNamespace(training={"phases": ((4, 1),), "flip": True})
PLAIN = SimpleNamespace()


def test_what_is_nearest_to_the_pair_decides_each_field() -> None:
    assert recipe_of(PLAIN, PLAIN, "noise") == TrainingRecipe()
    assert recipe_of(MODEL, PLAIN, "noise") == TrainingRecipe(phases=((8, 1), (12, 2)), batch=8)
    assert recipe_of(MODEL, FLIPPED, "flipped") == TrainingRecipe(phases=((4, 1),), batch=8, flip=True)
    particular = SimpleNamespace(training=MODEL.training, training_on={"flipped": {"phases": ((6, 2),)}})
    assert recipe_of(particular, FLIPPED, "flipped") == TrainingRecipe(phases=((6, 2),), batch=8, flip=True)
    assert recipe_of(particular, PLAIN, "noise") == recipe_of(MODEL, PLAIN, "noise")


def test_at_another_size_all_phases_change_and_only_the_last_is_run_on_trained_weights() -> None:
    larger = at_size(TrainingRecipe(phases=((48, 3), (64, 2), (96, 1))), 224)
    assert larger.phases == ((112, 3), (144, 2), (224, 1))
    assert last_phase(larger).phases == ((224, 1),)
    assert at_size(TrainingRecipe(phases=((12, 1), (96, 1))), 17).phases == ((16, 1), (17, 1))


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_large", "mobilenet_v3_small"])
def test_the_shipped_models_have_a_recipe_that_ends_at_the_dataset_s_size(name: str) -> None:
    assert recipe_of(catalog.find("models", name), signs, "signs").sizes[-1] == signs.native_size


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ("epochs", "training of the model is 'epochs'; a dict of fields and values; "),
        ({"epoch": 3}, "unknown field in training of the model: 'epoch'; there are: batch, "),
        ({"batchs": 3}, "unknown field in training of the model: 'batchs'; did you mean batch"),
        ({"batch": 16.5}, "batch in training of the model is 16.5 (Input should be a valid integer"),
        (
            {"phases": 5},
            "phases in training of the model is 5 (Input should be a valid tuple); ((48, 5), (64, 3), (96, 2))",
        ),
        ({"learning_rate": float("nan")}, "learning_rate in training of the model is nan (Input should be a finite"),
        ({"optimizer": "adam"}, "optimizer in training of the model is 'adam' (Input should be 'adamw' or 'sgd')"),
    ],
)
def test_a_recipe_that_is_none_is_refused_with_its_place(stated: Any, said: str) -> None:
    with pytest.raises(HqpError) as refused:
        recipe_of(SimpleNamespace(training=stated), SimpleNamespace(), "noise")
    assert str(refused.value).startswith(said)
    with pytest.raises(HqpError, match="training_on of the model"):
        recipe_of(
            SimpleNamespace(training_on=stated if stated == "epochs" else {"noise": stated}), SimpleNamespace(), "noise"
        )
