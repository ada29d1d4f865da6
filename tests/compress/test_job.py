"""How a job reads its calibration images: the first so many, or some that lie evenly over all."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hqp.compress.job import BATCH, calibration_batches, calibration_count, spread_images
from hqp.records import Samples


@pytest.fixture
def job() -> Any:
    """Seventy images of one pixel, image k of the value k."""

    def read(indices: Any, size: int) -> Any:
        return np.array(indices, dtype=np.uint8)[:, None, None, None].repeat(3, axis=3)

    labels = np.arange(70, dtype=np.int64) % 2
    samples = Samples("plain", "calibration", labels, ("a", "b"), (0.0,) * 3, (1 / 255,) * 3, "a" * 64, read)
    return SimpleNamespace(calibration=samples, input_size=1)


@pytest.mark.parametrize(("asked", "count"), ((None, 70), (30, 30), (500, 70)))
def test_a_step_takes_what_it_asks_for_and_no_more_than_there_are(job: Any, asked: int | None, count: int) -> None:
    assert calibration_count(job, asked) == count


def test_batches_are_the_first_images_in_order_each_with_its_indices(job: Any) -> None:
    batches = list(calibration_batches(job, 40))
    assert [indices for indices, _ in batches] == [range(0, BATCH), range(BATCH, 40)]
    values = np.concatenate([images[:, 0, 0, 0] for _, images in batches])
    assert values.round().tolist() == list(range(40))


def test_spread_images_lie_evenly_from_the_first_to_the_last(job: Any) -> None:
    assert spread_images(job, 4)[:, 0, 0, 0].round().tolist() == [0, 23, 46, 69]
    assert len(spread_images(job, 500)) == 70, "no image twice"
