"""A recipe that no training can follow is refused."""

from __future__ import annotations

import pytest

from hqp.compress.training import TrainingRecipe
from hqp.errors import HqpError


def test_the_sizes_are_those_of_every_epoch() -> None:
    assert TrainingRecipe(phases=((16, 2), (24, 1))).sizes == (16, 16, 24)


@pytest.mark.parametrize("phases", [(), ((0, 1),), ((16, 0),)])
def test_phases_without_an_image_or_an_epoch_are_refused(phases: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(HqpError, match="pairs of image size and epochs"):
        TrainingRecipe(phases=phases)


def test_a_batch_of_one_is_refused() -> None:
    with pytest.raises(HqpError, match="no training with batches of 1; at least 2 images"):
        TrainingRecipe(batch=1)
