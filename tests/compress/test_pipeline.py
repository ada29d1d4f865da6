"""What is said of the calibration images before minutes are spent on them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hqp.compress import pipeline
from hqp.records import Pruning, Quantization, Ranking, Recipe, Recovery, Samples

CLASSES = tuple("abcdefgh")


def said(
    labels: list[int], recovery: int = 64, quantization: int = 32, images: int | None = None, origin: str = ""
) -> list[str]:
    told: list[str] = []
    colours = (0.0,) * 3, (1.0,) * 3
    samples = Samples(
        "x", "calibration", np.array(labels), CLASSES, *colours, "d" * 64, lambda *_: np.empty(0), origin=origin
    )
    pruning = Pruning((Ranking("fisher"),), images=images, recovery=Recovery(images=recovery))
    recipe = Recipe(pruning=pruning, quantization=Quantization(images=quantization))
    job: Any = SimpleNamespace(recipe=recipe, calibration=samples, warn=told.append)
    pipeline._warn_of_few_images(job)
    return told


def test_enough_images_of_all_classes_are_nothing_to_tell() -> None:
    assert said([*range(8)] * 8) == []


def test_fewer_images_than_asked_for_are_told() -> None:
    assert said([*range(8)] * 5) == ["warning: recovery asks for 64 images, 'calibration' has 40"]
    assert said([*range(8)] * 5, origin="a tenth of the 400 images of train") == [
        "warning: recovery asks for 64 images, 'calibration' has 40 (a tenth of the 400 images of train)"
    ]
    assert said([*range(8)] * 8, images=65) == ["warning: sensitivity asks for 65 images, 'calibration' has 64"]


@pytest.mark.parametrize("each", [32, 64])
def test_images_that_lie_class_by_class_are_told(each: int) -> None:
    assert said([label for label in range(8) for _ in range(each)]) == [
        f"warning: recovery takes the first 64 images of 'calibration', which are of {64 // each} of 8 classes",
        "warning: quantisation takes the first 32 images of 'calibration', which are of 1 of 8 classes",
    ]


def test_a_recipe_without_pruning_asks_for_nothing_more() -> None:
    told: list[str] = []
    job: Any = SimpleNamespace(
        recipe=Recipe(), calibration=SimpleNamespace(labels=np.zeros(4), classes=CLASSES), warn=told.append
    )
    pipeline._warn_of_few_images(job)
    assert told == []
