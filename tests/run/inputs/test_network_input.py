"""Who says what a network takes: the user, the weights, the model, the dataset, in this order; told in one line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hqp.errors import HqpError
from hqp.records import WHOLE, Reading, Samples
from hqp.run.inputs.network_input import NetworkInput, Source, settled

ASKED, WEIGHTS = Source("asked for"), Source("the card of mine.pt")
MODEL, DATASET = Source("the model", 48), Source("photos", None, Reading(mean=(0.5,) * 3, std=(0.25,) * 3))


def refuse(indices: Sequence[int], size: int) -> Any:
    raise AssertionError("no image is read")


SAMPLES = Samples("photos", "selection", np.arange(2), ("a", "b"), (0.5,) * 3, (0.25,) * 3, "0" * 64, refuse)


def found(*sources: Source, draws: bool = False) -> NetworkInput:
    return settled(sources[0], sources[1:], draws)


@pytest.mark.parametrize(
    ("sizes", "size", "told"),
    [
        ((None, 32, 48, 64), 32, "32x32 (the card of mine.pt; the model says 48; photos says 64)"),
        ((None, None, 48, 64), 48, "48x48 (the model; photos says 64)"),
        ((None, None, None, 64), 64, "64x64 (photos)"),
        ((None, None, None, None), 224, "224x224 (by default)"),
        ((None, 32, 32, 32), 32, "32x32 (the card of mine.pt)"),
        ((96, 32, 48, 64), 96, "96x96 (asked for)"),
    ],
)
def test_the_first_that_says_a_size_is_believed_and_the_others_are_told(
    sizes: tuple[int | None, ...], size: int, told: str
) -> None:
    sources = (ASKED, WEIGHTS, MODEL, DATASET)
    takes = found(*(replace(source, size=said) for source, said in zip(sources, sizes, strict=True)))
    assert takes.size == size
    assert takes.shown(SAMPLES).startswith(f"images: {told}; the shorter side resized to {size}, ")


def test_nothing_is_cropped_unless_someone_says_so() -> None:
    takes = found(ASKED, WEIGHTS, MODEL, DATASET)
    assert takes.reading == DATASET.reading.over(WHOLE)
    assert takes.reading.resized(takes.size) == takes.size == 48
    assert takes.shown(SAMPLES) == (
        "images: 48x48 (the model); the shorter side resized to 48, the middle 48x48, bilinear (by default);"
        " mean 0.5,0.5,0.5, deviation 0.25,0.25,0.25 (photos)"
    )


def test_the_user_comes_before_the_weights_and_these_before_the_dataset() -> None:
    weights = Source("the weights", 224, Reading((0.1,) * 3, (0.2,) * 3, 0.95, "bicubic", resize="squash"))
    takes = found(ASKED, weights, MODEL, DATASET)
    assert takes.reading == weights.reading
    assert "both sides resized to 235, the middle 224x224, bicubic (the weights); mean" in takes.shown(SAMPLES)
    mine = found(replace(ASKED, reading=Reading(crop=1.0, mean=(0.3,) * 3)), weights, MODEL, DATASET)
    assert mine.reading == replace(weights.reading, crop=1.0, mean=(0.3,) * 3)
    assert "both sides resized to 224, bicubic (asked for); mean" in mine.shown(SAMPLES)


def test_images_that_are_drawn_are_not_cropped() -> None:
    signs = Source("signs", 96)
    weights = Source("the weights", 224, Reading(crop=0.875, resize="shorter", interpolation="bicubic"))
    takes = found(ASKED, weights, signs, draws=True)
    assert takes.reading == Reading()
    assert found(ASKED, WEIGHTS, signs, draws=True).shown(SAMPLES).startswith("images: 96x96 (signs); drawn at 96x96")
    assert takes.shown(SAMPLES).startswith("images: 224x224 (the weights; signs says 96); drawn at 224x224 (photos);")
    for reading in (Reading(crop=0.9), Reading(resize="squash"), Reading(interpolation="bicubic")):
        with pytest.raises(HqpError, match="the dataset draws its images at the input's size; no crop"):
            found(replace(ASKED, reading=reading), weights, signs, draws=True)


def test_an_image_that_would_be_smaller_than_the_input_is_refused_before_it_is_read() -> None:
    with pytest.raises(HqpError, match="the shorter side is resized to 40 pixels, and the input has 48"):
        found(replace(ASKED, reading=Reading(resize=40)), WEIGHTS, MODEL, DATASET)
