"""The images of a training, read, normalised, and changed by draws of a generator."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hqp.compress.training import TrainingImages, TrainingRecipe
from hqp.compress.training.images import augmented, batch

STILL = TrainingRecipe(shift=0.0, scale=0.0, brightness=0.0, contrast=0.0)


def images(count: int) -> TrainingImages:
    """Grey images, each as bright as its number."""

    def read(indices: object) -> np.ndarray:
        levels = np.asarray(indices, np.uint8)[:, None, None, None]
        return np.broadcast_to(levels, (len(levels), 4, 4, 3))

    return TrainingImages(read, np.arange(count, dtype=np.int64), (0.0, 0.5, 1.0), (1.0, 0.5, 1.0), "grey")


def draws() -> torch.Generator:
    return torch.Generator().manual_seed(3)


@pytest.mark.parametrize(("asked", "chosen"), [(3, [0, 3, 6]), (10, list(range(10))), (99, list(range(10)))])
def test_spread_images_lie_at_even_distances(asked: int, chosen: list[int]) -> None:
    some = images(10).spread(asked)
    assert some.labels.tolist() == chosen
    assert some.read([0, len(some) - 1])[:, 0, 0, 0].tolist() == [chosen[0], chosen[-1]]


def test_a_batch_is_normalised_and_resized() -> None:
    inputs, labels = batch(images(256), [0, 255], 2, torch.device("cpu"))
    assert inputs.shape == (2, 3, 2, 2) and labels.tolist() == [0, 255]
    assert inputs[:, :, 0, 0].tolist() == [[0.0, -1.0, -1.0], [1.0, 1.0, 0.0]]


def test_nothing_asked_for_changes_nothing() -> None:
    inputs = torch.rand(2, 3, 8, 8)
    assert torch.allclose(augmented(inputs, STILL, draws()), inputs, atol=1e-5)


def test_the_same_draws_give_the_same_images() -> None:
    inputs, recipe = torch.rand(4, 3, 8, 8), TrainingRecipe(flip=True, erase=0.3)
    assert torch.equal(augmented(inputs, recipe, draws()), augmented(inputs, recipe, draws()))
    assert not torch.equal(augmented(inputs, recipe, draws()), inputs)


def test_some_images_are_mirrored_and_none_is_changed_otherwise() -> None:
    inputs = torch.rand(16, 3, 8, 8)
    found = augmented(inputs, TrainingRecipe(shift=0, scale=0, brightness=0, contrast=0, flip=True), draws())
    same = [torch.allclose(one, other, atol=1e-5) for one, other in zip(found, inputs, strict=True)]
    mirrored = [torch.allclose(one, other.flip(-1), atol=1e-5) for one, other in zip(found, inputs, strict=True)]
    assert all(one != other for one, other in zip(same, mirrored, strict=True))
    assert any(same) and any(mirrored)


def test_a_square_of_each_image_is_grey_and_no_larger_than_asked_for() -> None:
    found = augmented(torch.ones(8, 3, 20, 20), TrainingRecipe(
        shift=0, scale=0, brightness=0, contrast=0, erase=0.5), draws())  # fmt: skip
    for image in found:
        gone = (image[0] == 0).nonzero()
        # At an edge a part of the square lies outside.
        assert 0 < len(gone) <= 100
        sides = gone.max(0).values - gone.min(0).values + 1
        assert len(gone) == sides.prod() and (sides <= 10).all()


def test_brightness_and_contrast_move_all_pixels_of_an_image_alike() -> None:
    inputs = torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1).expand(2, 3, 4, 4)
    recipe = TrainingRecipe(shift=0, scale=0, brightness=0.2, contrast=0.5)
    found = augmented(inputs, recipe, draws())
    for image, value in zip(found, (-1.0, 1.0), strict=True):
        assert image.max() - image.min() < 1e-5
        assert abs(float(image.mean()) - value) <= 0.7 + 1e-5
