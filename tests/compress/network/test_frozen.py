"""A network's frozen graph gives the network's answers, and one that has none answers by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hqp.compress.network import frozen
from hqp.compress.network.accuracy import accuracy
from hqp.compress.network.frozen import Quickest, graph_of
from hqp.records import Samples

torch.set_num_threads(1)

SIZE, CLASSES = 8, 5


class Normed(nn.Module):
    """A convolution and a batch norm that moved, whose code runs in Python: ``calls`` says how often."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm, self.head = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Linear(6, CLASSES)
        self.norm.running_mean.uniform_(-1, 1)
        self.norm.running_var.uniform_(0.1, 2)
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.head(F.relu(self.norm(self.conv(x))).mean((2, 3)))


class Branching(Normed):
    """A network whose code looks at the images."""

    def forward(self, x: Tensor) -> Tensor:
        logits = super().forward(x)
        return logits if x.mean() > 0 else -logits


class Sized(Normed):
    """A network whose code counts the images, which a trace takes for a constant."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).reshape(len(x), CLASSES)


class Noisy(Normed):
    """A network that answers otherwise each time."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + torch.randn(CLASSES)


def images_of(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


def read(indices: Any, size: int) -> Any:
    drawn = [np.random.default_rng(index).integers(0, 256, (size, size, 3), np.uint8) for index in indices]
    return np.stack(drawn)


def samples_of(count: int) -> Samples:
    labels = np.arange(count) % CLASSES
    names = tuple(map(str, range(CLASSES)))
    return Samples("noise", "selection", labels, names, (0.5,) * 3, (0.2,) * 3, "d" * 64, read)


def test_a_graph_gives_the_logits_without_the_networks_code() -> None:
    model, batch = Normed().eval(), images_of(4)
    graph = graph_of(model, batch)
    assert graph is not None
    calls, others = model.calls, images_of(4, seed=1)
    with torch.no_grad():
        found = graph(others)
        assert model.calls == calls
        torch.testing.assert_close(found, model(others))


@pytest.mark.parametrize("network", [Branching, Noisy])
def test_what_a_trace_cannot_hold_has_no_graph(network: Callable[[], nn.Module]) -> None:
    state = torch.get_rng_state()
    assert graph_of(network().eval(), images_of(4)) is None
    assert torch.equal(torch.get_rng_state(), state)


def test_other_batches_go_through_the_network() -> None:
    model = Sized().eval()
    quickest = Quickest(model, frozen.WORTH_IMAGES)
    with torch.no_grad():
        quickest(images_of(4))
        calls = model.calls
        quickest(images_of(4, seed=1))
        assert model.calls == calls
        assert torch.equal(quickest(images_of(3)), model(images_of(3)))


@pytest.mark.parametrize("network", [Normed, Sized, Branching])
def test_the_same_images_are_right(network: Callable[[], nn.Module], monkeypatch: pytest.MonkeyPatch) -> None:
    samples, model = samples_of(200), network()
    plain = accuracy(model, samples, SIZE)
    monkeypatch.setattr(frozen, "WORTH_IMAGES", 200)
    calls = model.calls
    graphed = accuracy(model, samples, SIZE)
    assert plain is not None and graphed == plain
    # Seven batches, of which the last is smaller; a graph costs a few calls of its own.
    eager = 7 if network is Branching else 1
    assert eager <= model.calls - calls <= eager + 5


def test_few_images_are_not_worth_a_graph() -> None:
    model = Normed().eval()
    quickest = Quickest(model, frozen.WORTH_IMAGES - 1)
    for _ in range(2):
        quickest(images_of(4))
    assert model.calls == 2
