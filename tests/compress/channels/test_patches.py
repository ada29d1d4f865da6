"""What each output position of a layer sees of its input."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hqp.compress.channels.patches import as_seen, patches, rows
from hqp.errors import HqpError


class Same(nn.Conv2d):
    """Pads by itself, as TensorFlow does: the odd pixel last."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (0, 1, 0, 1)))


class Mirrored(nn.Conv2d):
    """Pads by itself, by what lies at the edge."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (0, 1, 0, 1), mode="replicate"))


def test_patches_times_weights_are_the_layers_output() -> None:
    layer = nn.Conv2d(2, 3, 3, stride=2, padding=1, dilation=2, bias=False)
    images = torch.rand(2, 2, 9, 7)
    seen = patches(layer, images)
    computed = torch.einsum("nchwij,fcij->nfhw", seen, layer.weight)
    assert torch.allclose(computed, layer(images), atol=1e-6)


def test_rows_are_patches_in_the_order_of_a_filters_weights() -> None:
    layer = nn.Conv2d(2, 3, 3, padding=1, bias=False)
    images = torch.rand(2, 2, 4, 5)
    every = rows(layer, images, positions=20)
    assert every.shape == (40, 18)
    computed = (every @ layer.weight.flatten(1).T).reshape(2, 20, 3).transpose(1, 2)
    assert torch.allclose(computed, layer(images).flatten(2), atol=1e-6)


def test_of_many_positions_some_are_taken_the_same_ones_each_time() -> None:
    layer = nn.Linear(3, 2)
    tokens = torch.arange(2 * 10 * 3).reshape(2, 10, 3)
    chosen = rows(layer, tokens, positions=4)
    assert chosen.shape == (8, 3) and torch.equal(chosen, rows(layer, tokens, positions=4))
    # Of both images the same positions, in ascending order.
    assert torch.equal(chosen[4:] - chosen[:4], torch.full((4, 3), 30))
    assert (chosen[1:4, 0] > chosen[:3, 0]).all()


def test_what_a_layer_pads_by_itself_belongs_to_what_it_sees() -> None:
    layer, images = Same(2, 3, 3, stride=2), torch.rand(1, 2, 6, 6)
    seen = as_seen("stem", layer, images)
    assert torch.equal(seen, F.pad(images, (0, 1, 0, 1)))
    plain = nn.Conv2d(2, 3, 3, stride=2)
    assert as_seen("stem", plain, images) is images


def test_padding_of_another_kind_is_refused_with_the_layers_name() -> None:
    layer, images = Mirrored(2, 3, 3, stride=2), torch.rand(1, 2, 6, 6)
    with pytest.raises(HqpError, match="layer 'stem' pads its inputs in a way of its own"):
        as_seen("stem", layer, images)
