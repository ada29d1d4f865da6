"""Layers and batch norms by name, in the order in which the model declares them."""

from __future__ import annotations

from torch import nn

from hqp.compress.network.layers import layers, norms


def test_layers_have_filters_and_transposed_convolutions_are_none() -> None:
    block = nn.Sequential(nn.Conv1d(2, 4, 1), nn.BatchNorm1d(4), nn.ConvTranspose1d(4, 4, 1))
    model = nn.Sequential(nn.Linear(2, 2), block, nn.LayerNorm(4), nn.BatchNorm2d(4))
    assert list(layers(model)) == ["0", "1.0"]
    assert list(norms(model)) == ["1.1", "3"]
    assert layers(model)["1.0"] is block[0] and norms(model)["1.1"] is block[1]
