"""Which layers of a network lose nothing, and what is said of them; the rest can go."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hqp.compress.channels import groups
from hqp.compress.channels.finding import find_groups

EXAMPLE = torch.zeros(1, 3, 8, 8)


class Scales(nn.Module):
    """One block works on two scales."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.deep = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 5, 3, padding=1)
        self.shared, self.norm, self.head = nn.Conv2d(5, 4, 1), nn.BatchNorm2d(4), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        fine = F.relu(self.deep(F.relu(self.stem(x))))
        scales = [self.norm(self.shared(scale)).mean((2, 3)) for scale in (fine, F.max_pool2d(fine, 2))]
        return self.head(torch.cat(scales, 1))


class Chain(nn.Module):
    """Four layers one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.first, self.second = (nn.Conv2d(size, 6, 3, padding=1) for size in (3, 6, 6))
        self.last, self.head = nn.Conv2d(6, 5, 1), nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.second(F.relu(self.first(F.relu(self.stem(x))))))
        return self.head(F.relu(self.last(x)).mean((2, 3)))


class Borrowed(Chain):
    """Uses the weights of a layer beside the layer."""

    def forward(self, x: Tensor) -> Tensor:
        beside = F.conv2d(x, self.stem.weight, padding=1).mean((1, 2, 3), keepdim=True)
        return super().forward(x) + beside.flatten(1)


def tied() -> nn.Module:
    model = Chain()
    model.second.weight = model.first.weight
    return model


class Numbered(nn.Module):
    """LeNet with the number of its features in the code."""

    def __init__(self) -> None:
        super().__init__()
        self.c1, self.c2 = nn.Conv2d(3, 5, 3), nn.Conv2d(5, 6, 3)
        self.f1, self.head = nn.Linear(6 * 16, 7), nn.Linear(7, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.c2(F.relu(self.c1(x)))).reshape(-1, 6 * 16)
        return self.head(F.relu(self.f1(x)))


class NumberedTwice(nn.Module):
    """Two such numbers, and between them groups that can go."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third, self.fourth = (
            nn.Conv2d(inputs, outputs, 1) for inputs, outputs in ((3, 4), (4, 5), (5, 6), (6, 7))
        )
        self.head = nn.Linear(7, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x)).reshape(-1, 4, 8, 8)
        x = F.relu(self.third(F.relu(self.second(x)))).reshape(-1, 6, 8, 8)
        return self.head(F.relu(self.fourth(x)).mean((2, 3)))


class HeadFirst(nn.Module):
    """The layer that gives the logits is declared first."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.conv, self.inner = nn.Linear(5, 4), nn.Conv2d(3, 6, 3), nn.Conv2d(6, 5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.inner(F.relu(self.conv(x)))).mean((2, 3)))


class SelectiveKernels(nn.Module):
    """Paths on halves of the channels, cut by a number; which path counts, a softmax over them says."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 1)
        self.one, self.other = nn.Conv2d(4, 6, 3, padding=1), nn.Conv2d(4, 6, 1)
        self.squeeze, self.select, self.head = nn.Conv2d(6, 4, 1), nn.Conv2d(4, 12, 1), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        halves = torch.split(F.relu(self.stem(x)), 4, 1)
        paths = torch.stack([self.one(halves[0]), self.other(halves[1])], dim=1)
        weights = self.select(F.relu(self.squeeze(paths.sum(1).mean((2, 3), keepdim=True))))
        weights = weights.view(len(x), 2, weights.shape[1] // 2, 1, 1).softmax(dim=1)
        return self.head((paths * weights).sum(dim=1).mean((2, 3)))


Said = list[str]

SEVERAL = "kept whole, since their weights work in several places: "
COUNTS = "kept whole, since the code counts on the number of their channels: "
HELD: dict[str, tuple[Callable[[], nn.Module], dict[str, int], Said]] = {
    "called twice": (Scales, {"stem": 6, "deep": 5}, [f"{SEVERAL}'shared' is called 2 times"]),
    "one weight": (
        tied,
        {"last": 5},
        [f"{SEVERAL}'first' shares its weights with 'second', 'second' shares its weights with 'first'"],
    ),
    "borrowed": (
        Borrowed,
        {"first": 6, "second": 6, "last": 5},
        [f"{SEVERAL}'stem' has its weights used outside of it"],
    ),
    "a number": (Numbered, {"c1": 5, "f1": 7}, [f"{COUNTS}'c2'"]),
    "two numbers": (NumberedTwice, {"second": 5, "fourth": 7}, [f"{COUNTS}'first', 'third'"]),
    "head first": (HeadFirst, {"conv": 6, "inner": 5}, []),
    "selective kernels": (SelectiveKernels, {"one": 6, "squeeze": 4}, []),
}


@pytest.mark.parametrize("name", HELD)
def test_what_code_counts_on_stays_and_the_rest_can_go(name: str) -> None:
    build, expected, lines = HELD[name]
    torch.manual_seed(0)
    model, said = build().double().eval(), []
    found = find_groups(model, EXAMPLE, said.append)
    assert {group.name: group.channels for group in found} == expected
    assert said == lines
    assert_exact(model, {group.name: [1] for group in found}, found)


def assert_exact(model: nn.Module, chosen: dict[str, list[int]], found: tuple[groups.Group, ...]) -> None:
    """Without some channels the model gives what it gives where nobody sees them."""
    image = torch.randn(1, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    smaller = groups.remove(model, chosen, found)
    given = smaller(image)
    for (layer, role), inputs in groups.removed(found, chosen).items():
        if role == "input":
            model.get_submodule(layer).weight.data[:, sorted(inputs)] = 0
    torch.testing.assert_close(given, model(image), rtol=1e-9, atol=1e-9)


def test_of_many_that_lose_nothing_three_are_named() -> None:
    model, said = nn.Sequential(*(nn.Conv2d(3, 3, 1) for _ in range(5)), nn.Flatten(), nn.Linear(192, 4)), []
    for layer in model[1:5]:
        layer.weight = model[0].weight
    assert find_groups(model.eval(), EXAMPLE, said.append) == ()
    assert said[0].endswith("'2' shares its weights with '0' and 2 more")


def test_the_output_layer_is_the_one_called_last() -> None:
    assert groups.output_layer(HeadFirst(), EXAMPLE) == "head"
    assert groups.filters(HeadFirst(), EXAMPLE) == {"conv": 6, "inner": 5}


def test_a_tie_between_layers_survives_removal_and_growth() -> None:
    model = tied()
    found = find_groups(model, EXAMPLE)
    smaller = groups.remove(model, {"last": [0]}, found)
    assert smaller.first.weight is smaller.second.weight
    whole = groups.grown(model, smaller, groups.removed(found, {"last": [0]}))
    assert whole.first.weight is whole.second.weight


class One(nn.Module):
    """Attention over positions, squeezed to one channel on its way and at its end; of one channel nothing can go."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.squeeze = nn.Conv2d(3, 6, 1), nn.Conv2d(6, 1, 1)
        self.deep, self.map, self.head = nn.Conv2d(1, 5, 1), nn.Conv2d(5, 1, 1), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        seen = self.map(F.relu(self.deep(F.relu(self.squeeze(x)))))
        return self.head((x * seen.sigmoid()).mean((2, 3)))


def test_a_group_of_one_channel_is_none_and_one_that_meets_many_leaves_them_apart() -> None:
    model, said = One().double().eval(), list[str]()
    found = find_groups(model, EXAMPLE, said.append)
    assert [(group.name, group.channels) for group in found] == [("stem", 6), ("deep", 5)] and said == []
    assert_exact(model, {"stem": [0, 3], "deep": [1]}, found)
