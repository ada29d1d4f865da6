"""Labels follow channels through whatever moves them, and hold them where it is not known what an operation does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from hqp.compress.channels.finding import find_groups
from hqp.compress.channels.groups import remove
from hqp.records import Group

EXAMPLE = torch.zeros(1, 3, 8, 8)
Middle = Callable[["Net", Tensor], Tensor]


class Net(nn.Module):
    """Two convolutions of eight channels, something between them, and a head."""

    def __init__(self, middle: Middle, inputs: int = 8) -> None:
        super().__init__()
        self.middle = middle
        self.first, self.other = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(3, 8, 1)
        self.scale = nn.Parameter(torch.rand(8, 1, 1))
        self.last, self.head = nn.Conv2d(inputs, 6, 3, padding=1), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        self.image = x
        return self.head(F.relu(self.last(self.middle(self, F.relu(self.first(x))))).mean((2, 3)))


def ties(found: tuple[Group, ...], layer: str) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """The channels of a layer that go together, with the inputs of ``last`` that go with them."""
    together = []
    for group in found:
        filters = [member for member in group.members if (member.layer, member.role) == (layer, "filter")]
        inputs = [member for member in group.members if (member.layer, member.role) == ("last", "input")]
        if filters:
            together += list(zip(filters[0].channels, inputs[0].channels, strict=True))
    return sorted(together)


def one_to_one(count: int = 8, offset: int = 0) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    return [((index,), (offset + index,)) for index in range(count)]


def shuffled(net: Net, x: Tensor) -> Tensor:
    batch, count, *size = x.shape
    return x.reshape(batch, 2, count // 2, *size).transpose(1, 2).reshape(batch, count, *size)


def halved(net: Net, x: Tensor) -> Tensor:
    one, other = x.chunk(2, 1)
    return one * other.sigmoid()


def written(net: Net, x: Tensor) -> Tensor:
    out = torch.zeros_like(x)
    out[:, :, ::2].copy_(x[:, :, ::2])
    return out + x


def radix(net: Net, x: Tensor) -> Tensor:
    batch, count, *size = x.shape
    split = x.reshape(batch, 2, count // 2, *size)
    weights = split.mean((3, 4), keepdim=True).softmax(1)
    return (split * weights).sum(1)


def one_key(net: Net, x: Tensor) -> Tensor:
    tokens = x.flatten(2).transpose(1, 2)
    queries = tokens.unflatten(2, (2, 4)).transpose(1, 2)
    seen = F.scaled_dot_product_attention(queries, tokens[:, None, :, :4], tokens[:, None, :, :4])
    return seen.transpose(1, 2).flatten(2).transpose(1, 2).unflatten(2, (8, 8))


def padded(net: Net, x: Tensor) -> Tensor:
    return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 1, 3))


UNDERSTOOD: dict[str, tuple[Middle, int, list[tuple[tuple[int, ...], tuple[int, ...]]]]] = {
    "reversed": (lambda net, x: x.flip(1).flip(1), 8, one_to_one()),
    "pooled": (lambda net, x: F.interpolate(F.max_pool2d(x, 2), scale_factor=2), 8, one_to_one()),
    "permuted": (lambda net, x: x.permute(0, 2, 3, 1).relu_().permute(0, 3, 1, 2).contiguous(), 8, one_to_one()),
    "gated": (lambda net, x: x * F.hardsigmoid(net.other(net.image)), 8, one_to_one()),
    "concatenated": (lambda net, x: torch.cat([net.image, x], 1), 11, one_to_one(offset=3)),
    "padded": (padded, 12, one_to_one(offset=1)),
    "stacked": (lambda net, x: torch.stack([x, x]).sum(0), 8, one_to_one()),
    "normalised": (
        lambda net, x: x / (1 + x.norm(dim=(2, 3), keepdim=True) + x.std((2, 3), keepdim=True)),
        8,
        one_to_one(),
    ),
    "tokens": (lambda net, x: x.flatten(2).transpose(1, 2).transpose(1, 2).unflatten(2, (8, 8)), 8, one_to_one()),
    "shuffled": (shuffled, 8, [((k, k + 4), (2 * k, 2 * k + 1)) for k in range(4)]),
    "rolled in space": (lambda net, x: x.roll((1, 2), (2, 3)), 8, one_to_one()),
    "gated by halves": (lambda net, x: F.glu(x, 1), 4, [((k, k + 4), (k,)) for k in range(4)]),
    "one key for all heads": (one_key, 8, []),
    "halved": (halved, 4, [((k, k + 4), (k,)) for k in range(4)]),
    "radix": (radix, 4, [((k, k + 4), (k,)) for k in range(4)]),
    "folded": (lambda net, x: F.pixel_unshuffle(x, 2), 32, [((k,), tuple(range(4 * k, 4 * k + 4))) for k in range(8)]),
}

# Each holds all channels of `first`: to lose one would change the others, or break the code.
HELD: dict[str, tuple[Middle, int]] = {
    "chosen by number": (lambda net, x: x[:, 2:6], 4),
    "chosen by list": (lambda net, x: x[:, [3, 1, 0]], 3),
    "shuffled by list": (lambda net, x: x.index_select(1, torch.tensor([3, 0, 4, 1, 5, 2, 7, 6])), 8),
    "written into zeros": (written, 8),
    "copied into zeros": (lambda net, x: torch.zeros_like(x).copy_(x), 8),
    "cut unevenly": (lambda net, x: x.split([3, 5], 1)[1], 5),
    "unfolded into space": (lambda net, x: F.pixel_shuffle(x, 2), 2),
    "scaled by a parameter": (lambda net, x: x * net.scale, 8),
    "normalised over channels": (lambda net, x: F.layer_norm(x, x.shape[1:]), 8),
    "normalised by a mean": (lambda net, x: x / x.norm(dim=(2, 3), keepdim=True).mean(1, keepdim=True), 8),
    "averaged over channels": (lambda net, x: x.mean(1, keepdim=True).expand(-1, 8, -1, -1), 8),
    "summed up": (lambda net, x: x.cumsum(1), 8),
    "rolled": (lambda net, x: x.roll(2, 1), 8),
    "rolled as a whole": (lambda net, x: x.roll(5), 8),
    "tied to the image": (lambda net, x: x[:, :3] + net.image, 3),
    "mixed by a product": (lambda net, x: (x.flatten(2) @ x.flatten(2).transpose(1, 2)).unsqueeze(3) * 0 + x, 8),
    "mixed by an argument": (lambda net, x: F.conv2d(x, torch.ones(8, 8, 1, 1, dtype=x.dtype)), 8),
}


def agrees(net: Net, found: tuple[Group, ...]) -> bool:
    """Whether the model without a channel gives what it gives where that is zero."""
    image = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    for group in found:
        silent = Net(net.middle, net.last.in_channels).double()
        silent.load_state_dict(net.state_dict())
        with torch.no_grad():
            for member in group.members:
                if member.role == "filter":
                    layer = silent.get_submodule(member.layer)
                    layer.weight[list(member.channels[0])] = 0
                    layer.bias[list(member.channels[0])] = 0
        smaller = remove(net, {group.name: [0]}, found)
        torch.testing.assert_close(smaller(image), silent(image), rtol=1e-9, atol=1e-9)
    return True


@pytest.mark.parametrize("name", UNDERSTOOD)
def test_channels_are_followed(name: str) -> None:
    middle, inputs, expected = UNDERSTOOD[name]
    net, said = Net(middle, inputs).double().eval(), list[str]()
    found = find_groups(net, EXAMPLE, said.append)
    assert ties(found, "first") == expected and said == []
    assert agrees(net, found)


@pytest.mark.parametrize("name", HELD)
def test_what_is_not_known_to_keep_channels_apart_holds_them(name: str) -> None:
    middle, inputs = HELD[name]
    net, said = Net(middle, inputs).double().eval(), list[str]()
    found = find_groups(net, EXAMPLE, said.append)
    assert ties(found, "first") == [] and said == [], "by its rule, before any test of removal"
    assert any(member.layer == "last" for group in found for member in group.members), "the rest can still go"


def test_a_cut_by_numbers_in_the_code_is_found_out_and_held() -> None:
    def fixed_halves(net: Net, x: Tensor) -> Tensor:
        one, other = x.split(4, 1)
        return one + other.reshape(-1, 4, 8, 8)

    assert ties(find_groups(Net(fixed_halves, 4).eval(), EXAMPLE), "first") == []


class Grouped(nn.Module):
    """A grouped convolution whose channels are shuffled by so many groups, as ShuffleNet's are."""

    def __init__(self, shuffled_by: int) -> None:
        super().__init__()
        self.shuffled_by = shuffled_by
        self.first, self.grouped = nn.Conv2d(3, 16, 1), nn.Conv2d(16, 16, 1, groups=4)
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.last, self.head = nn.Conv2d(16, 6, 1), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.grouped(F.relu(self.first(x))))
        batch, count, *size = x.shape
        by = self.shuffled_by
        x = x.view(batch, by, count // by, *size).transpose(1, 2).reshape(batch, count, *size)
        return self.head(F.relu(self.last(self.depthwise(x))).mean((2, 3)))


def test_a_shuffle_by_the_groups_of_a_convolution_ties_them_all_and_by_half_as_many_in_pairs() -> None:
    said: list[str] = []
    assert ties(find_groups(Grouped(4).eval(), EXAMPLE, said.append), "grouped") == [] and said == []
    pairs = ties(find_groups(Grouped(2).eval(), EXAMPLE), "grouped")
    assert [filters for filters, _ in pairs] == [(0, 1, 2, 3, 8, 9, 10, 11), (4, 5, 6, 7, 12, 13, 14, 15)]


class Called(nn.Module):
    """One layer called twice, and one never."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.both = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.never, self.last, self.head = nn.Conv2d(6, 6, 1), nn.Conv2d(6, 5, 1), nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.both(F.relu(self.both(F.relu(self.stem(x))))))
        return self.head(self.last(x).mean((2, 3)))


def test_a_layer_called_twice_holds_what_it_sees_and_one_never_called_has_no_group() -> None:
    (found,) = find_groups(Called().eval(), EXAMPLE)
    roles = [(member.layer, member.role) for member in found.members]
    assert roles == [("last", "filter"), ("head", "input")]


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "densenet121"])
def test_torch_pruning_ties_the_same_channels(name: str) -> None:
    """On models that Torch-Pruning (G. Fang et al., arXiv 2301.12900) reads rightly, both find the same."""
    torch_pruning = pytest.importorskip("torch_pruning")
    model = torchvision.models.get_model(name, num_classes=10).eval()
    example = torch.rand(1, 3, 32, 32)
    layers = {module: layer for layer, module in model.named_modules()}
    graph = torch_pruning.DependencyGraph().build_dependency(model, (example,), verbose=False)
    for group in find_groups(model, example):
        first = next(member for member in group.members if member.role == "filter")
        layer = model.get_submodule(first.layer)
        prune = graph.get_pruner_of_module(layer).prune_out_channels
        theirs = set()
        for dependency, indices in graph.get_pruning_group(layer, prune, list(first.channels[1])):
            target = dependency.target.module
            if target in layers:
                theirs |= {(layers[target], int(index)) for index in indices}
        ours = {(member.layer, index) for member in group.members for index in member.channels[1]}
        assert ours == theirs, group.name
