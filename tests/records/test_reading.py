"""How images become a network's input: what is refused, who comes first, and how many pixels that is."""

from __future__ import annotations

from typing import Any

import pytest

from hqp.errors import HqpError
from hqp.records import WHOLE, Reading


@pytest.mark.parametrize(
    ("said", "refused"),
    [
        ({"mean": (0.5, 0.5)}, r"the mean of the images is \(0.5, 0.5\); three numbers from 0 to 1"),
        ({"mean": (120, 1, 1)}, "the mean of the images is"),
        ({"mean": 0.5}, "the mean of the images is 0.5"),
        ({"mean": (float("nan"), 0.5, 0.5)}, "the mean of the images is"),
        ({"std": (0, 1, 1)}, "their deviation is"),
        ({"std": "abc"}, "their deviation is abc; three numbers above 0"),
        ({"crop": 0}, "the centre crop keeps 0 of the shorter side; above 0 and at most 1; try: --crop 0.875"),
        ({"crop": 1.1}, "the centre crop keeps 1.1"),
        ({"crop": "0.9"}, "the centre crop keeps 0.9"),
        ({"crop": float("nan")}, "the centre crop keeps nan"),
        ({"resize": 0}, "the images are resized to 0; pixels of the shorter side, or 'squash'"),
        ({"resize": "256"}, "the images are resized to '256'"),
        ({"resize": True}, "the images are resized to True"),
        ({"resize": 256, "crop": 0.875}, "resized to 256 pixels, and the crop keeps 0.875 of it; one of the two"),
        ({"interpolation": "bicubc"}, "unknown interpolation 'bicubc'; did you mean bicubic?"),
        ({"skip_unreadable": -1}, "-1 unreadable images to skip"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(said: dict[str, Any], refused: str) -> None:
    with pytest.raises(HqpError, match=refused) as caught:
        Reading(**said)
    assert "\n" not in str(caught.value)


def test_numbers_in_a_list_are_taken_as_in_a_tuple() -> None:
    mean: Any = [0.5, 0.5, 0.5]
    assert Reading(mean=mean) == Reading(mean=(0.5, 0.5, 0.5))
    assert hash(Reading(mean=mean)) == hash(Reading(mean=(0.5, 0.5, 0.5)))


@pytest.mark.parametrize(
    ("reading", "size", "pixels"),
    [
        (Reading(), 32, 32),
        (Reading(crop=1.0), 32, 32),
        (Reading(crop=0.875), 224, 256),
        (Reading(crop=0.9), 224, 248),  # rounded down, as timm does
        (Reading(crop=224 / 232), 224, 232),
        (Reading(crop=17 / 25), 17, 25),  # 24.999999999999996 in floats
        (Reading(crop=224 / 232), 96, 99),
        (Reading(resize=256), 224, 256),
        (Reading(resize="squash", crop=0.95), 32, 33),
    ],
)
def test_a_share_or_a_number_of_pixels_says_how_large_an_image_becomes(
    reading: Reading, size: int, pixels: int
) -> None:
    assert reading.resized(size) == pixels


def test_an_image_is_not_resized_to_fewer_pixels_than_the_input_has() -> None:
    with pytest.raises(HqpError, match="the shorter side is resized to 200 pixels, and the input has 224; 224 or more"):
        Reading(resize=200).resized(224)


@pytest.mark.parametrize(
    ("mine", "others", "both"),
    [
        (Reading(), WHOLE, WHOLE),
        (Reading(crop=0.9), WHOLE, Reading(crop=0.9, interpolation="bilinear", resize="shorter")),
        (Reading(resize=256), WHOLE, Reading(interpolation="bilinear", resize=256)),
        (Reading(resize="squash"), Reading(crop=0.9), Reading(crop=0.9, resize="squash")),
        (Reading(crop=0.9), Reading(resize=256), Reading(crop=0.9)),
        (Reading(mean=(0.1,) * 3), Reading(mean=(0.2,) * 3, std=(0.3,) * 3), Reading((0.1,) * 3, (0.3,) * 3)),
        (Reading(skip_unreadable=2), Reading(held_out=True), Reading(skip_unreadable=2, held_out=True)),
    ],
)
def test_what_one_reading_leaves_open_another_says(mine: Reading, others: Reading, both: Reading) -> None:
    assert mine.over(others) == both


@pytest.mark.parametrize(
    ("reading", "said"),
    [
        (WHOLE, "the shorter side resized to 32, the middle 32x32, bilinear"),
        (Reading(crop=0.5, interpolation="bicubic"), "the shorter side resized to 64, the middle 32x32, bicubic"),
        (Reading(crop=1.0, resize="squash"), "both sides resized to 32, bilinear"),
        (Reading(resize=40), "the shorter side resized to 40, the middle 32x32, bilinear"),
        (Reading(), "drawn at 32x32"),
    ],
)
def test_it_is_shown_in_words(reading: Reading, said: str) -> None:
    assert reading.shown(32) == said
