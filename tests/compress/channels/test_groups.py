"""Dependency groups of small networks, one for each way in which channels hang together."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from hqp.compress.channels import groups
from hqp.compress.channels.finding import find_groups
from hqp.compress.channels.groups import remove
from hqp.errors import HqpError, UnknownName
from hqp.records import Group, Member

torch.set_num_threads(1)

EXAMPLE = torch.zeros(1, 3, 8, 8)


def conv(inputs: int, outputs: int, kernel: int = 3, **options: object) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False, **options)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = conv(3, 6), nn.BatchNorm2d(6)
        self.inner, self.norm_inner = conv(6, 5), nn.BatchNorm2d(5)
        self.outer, self.norm_outer = conv(5, 6), nn.BatchNorm2d(6)
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.stem(x)))
        out = self.norm_outer(self.outer(F.relu(self.norm_inner(self.inner(x)))))
        return self.head(F.relu(out + x).mean((2, 3)))


class Excited(nn.Module):
    """An inverted bottleneck as MobileNetV3 has it: depthwise, squeeze-and-excitation, hard-swish."""

    def __init__(self) -> None:
        super().__init__()
        self.expand, self.norm = conv(3, 6, 1), nn.BatchNorm2d(6)
        self.depthwise, self.norm_depthwise = conv(6, 6, groups=6), nn.BatchNorm2d(6)
        self.squeeze, self.excite = nn.Conv2d(6, 4, 1), nn.Conv2d(4, 6, 1)
        self.project, self.norm_project = conv(6, 5, 1), nn.BatchNorm2d(5)
        self.head = nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.hardswish(self.norm(self.expand(x)))
        x = F.hardswish(self.norm_depthwise(self.depthwise(x)))
        x = x * F.hardsigmoid(self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(x, 1)))))
        return self.head(self.norm_project(self.project(x)).mean((2, 3)))


class Concatenated(nn.Module):
    """Two branches side by side, normalised together; the second also goes on alone."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = conv(3, 4), conv(3, 5)
        self.norm = nn.BatchNorm2d(9)
        self.join, self.alone = conv(9, 6), conv(5, 6)
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        left, right = F.relu(self.left(x)), F.relu(self.right(x))
        x = self.join(F.relu(self.norm(torch.cat([left, right], 1)))) + self.alone(right)
        return self.head(F.relu(x).mean((2, 3)))


class Flattened(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = conv(3, 5, stride=2), nn.BatchNorm2d(5)
        self.hidden, self.head = nn.Linear(5 * 16, 7), nn.Linear(7, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.conv(x))).flatten(1)
        return self.head(F.relu(self.hidden(x)))


class Grouped(nn.Module):
    """A grouped convolution, and a depthwise one that makes two channels of each."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.grouped = conv(3, 8), conv(8, 12, groups=4)
        self.multiplied = conv(12, 24, groups=12)
        self.head = nn.Linear(24, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.multiplied(F.relu(self.grouped(F.relu(self.first(x)))))).mean((2, 3)))


class SeamAcross(nn.Module):
    """A concatenation added to a whole: its two halves are two groups that start in one layer."""

    def __init__(self) -> None:
        super().__init__()
        self.whole, self.left, self.right = conv(3, 6), conv(3, 2), conv(3, 4)
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        both = torch.cat([self.left(x), self.right(x)], 1)
        return self.head(F.relu(self.whole(x) + both).mean((2, 3)))


class Doubled(nn.Module):
    """One tensor twice in a concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.join, self.head = conv(3, 4), conv(8, 5), nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv(x))
        return self.head(F.relu(self.join(torch.cat([x, x], 1))).mean((2, 3)))


class TiedToInput(nn.Module):
    """Channels that are added to the image, or lie beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.added, self.beside, self.join = conv(3, 3), conv(3, 5), conv(8, 4)
        self.head = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([x + self.added(x), F.relu(self.beside(x))], 1)
        return self.head(F.relu(self.join(x)).mean((2, 3)))


MODELS = (Residual, Excited, Concatenated, Flattened, Grouped, SeamAcross, Doubled, TiedToInput)


def trained(build: Callable[[], nn.Module]) -> nn.Module:
    """A model in float64 with statistics as training leaves them: nothing is zero or one."""
    torch.manual_seed(0)
    model = build().double().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.weight, module.bias, module.running_mean):
                nn.init.normal_(values)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return model


def masked(model: nn.Module, found: Sequence[Group], channels: Mapping[str, Sequence[int]]) -> nn.Module:
    """The model with these channels silent: their filters, biases, γ and β are zero."""
    silent = copy.deepcopy(model)
    for group in found:
        for member in group.members:
            if member.role != "input":
                layer = silent.get_submodule(member.layer)
                gone = [index for channel in channels.get(group.name, ()) for index in member.channels[channel]]
                with torch.no_grad():
                    layer.weight[gone] = 0
                    if layer.bias is not None:
                        layer.bias[gone] = 0
    return silent


def summary(found: Sequence[Group]) -> dict[str, tuple[int, tuple[tuple[str, str], ...]]]:
    return {g.name: (g.channels, tuple((member.layer, member.role) for member in g.members)) for g in found}


def single(indices: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    return tuple((index,) for index in indices)


def test_residual_partners_go_together() -> None:
    stream = (("stem", "filter"), ("norm", "norm"), ("inner", "input"))
    stream += (("outer", "filter"), ("norm_outer", "norm"), ("head", "input"))
    within = (("inner", "filter"), ("norm_inner", "norm"), ("outer", "input"))
    assert summary(find_groups(Residual(), EXAMPLE)) == {"stem": (6, stream), "inner": (5, within)}


def test_channels_of_a_residual_sum_are_told_from_inner_ones() -> None:
    found = find_groups(Residual(), EXAMPLE)
    assert [(group.name, group.summed) for group in found] == [("stem", True), ("inner", False)]
    assert [group.name for group in groups.inner(found)] == ["inner"]
    assert (groups.filters_of(found), groups.filters_of(groups.inner(found))) == (6 + 6 + 5, 5)
    assert not any(group.summed for group in find_groups(Excited(), EXAMPLE)), "a product is no sum"
    assert {group.name: group.summed for group in find_groups(Concatenated(), EXAMPLE)}["join"]


def test_depthwise_goes_with_pointwise_and_excitation_is_a_group() -> None:
    wide = (("expand", "filter"), ("norm", "norm"), ("depthwise", "filter"), ("depthwise", "input"))
    wide += (("norm_depthwise", "norm"), ("squeeze", "input"), ("excite", "filter"), ("project", "input"))
    assert summary(find_groups(Excited(), EXAMPLE)) == {
        "expand": (6, wide),
        "squeeze": (4, (("squeeze", "filter"), ("excite", "input"))),
        "project": (5, (("project", "filter"), ("norm_project", "norm"), ("head", "input"))),
    }


def test_concatenation_maps_each_branch_to_its_place() -> None:
    left, right, rest = find_groups(Concatenated(), EXAMPLE)
    assert left.members == (
        Member("left", "filter", single(range(4))),
        Member("norm", "norm", single(range(4))),
        Member("join", "input", single(range(4))),
    )
    assert right.members == (
        Member("right", "filter", single(range(5))),
        Member("norm", "norm", single(range(4, 9))),
        Member("join", "input", single(range(4, 9))),
        Member("alone", "input", single(range(5))),
    )
    assert summary([rest]) == {"join": (6, (("join", "filter"), ("alone", "filter"), ("head", "input")))}


def test_flattening_gives_a_channel_all_its_positions() -> None:
    first, hidden = find_groups(Flattened(), EXAMPLE)
    inputs = tuple(tuple(range(16 * channel, 16 * channel + 16)) for channel in range(5))
    assert first.members[-1] == Member("hidden", "input", inputs)
    assert summary([hidden]) == {"hidden": (7, (("hidden", "filter"), ("head", "input")))}
    assert first.filters(0) == hidden.filters(0) == 1


def test_a_grouped_convolution_goes_by_whole_groups() -> None:
    (found,) = find_groups(Grouped(), EXAMPLE)
    assert found.channels == 4 and found.filters(0) == 2 + 3 + 6
    channels = {(member.layer, member.role): member.channels[1] for member in found.members}
    assert channels == {
        ("first", "filter"): (2, 3),
        ("grouped", "filter"): (3, 4, 5),
        ("grouped", "input"): (2, 3),
        ("multiplied", "filter"): (6, 7, 8, 9, 10, 11),
        ("multiplied", "input"): (3, 4, 5),
        ("head", "input"): (6, 7, 8, 9, 10, 11),
    }


def test_two_groups_that_start_in_one_layer_have_two_names() -> None:
    found = find_groups(SeamAcross(), EXAMPLE)
    assert [(group.name, group.channels) for group in found] == [("whole", 2), ("whole:2", 4)]
    assert found[1].members == (
        Member("whole", "filter", single(range(2, 6))),
        Member("right", "filter", single(range(4))),
        Member("head", "input", single(range(2, 6))),
    )


def test_what_is_tied_to_the_input_or_gives_the_logits_stays() -> None:
    assert [group.name for group in find_groups(TiedToInput(), EXAMPLE)] == ["beside", "join"]
    members = find_groups(TiedToInput(), EXAMPLE)[0].members
    assert members[1] == Member("join", "input", single(range(3, 8)))


@pytest.mark.parametrize("build", MODELS)
def test_removing_equals_masking(build: Callable[[], nn.Module]) -> None:
    model, found = trained(build), find_groups(build(), EXAMPLE)
    image = torch.randn(2, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    nearly_all = {group.name: [0, *range(2, group.channels)] for group in found}
    for chosen in [*({group.name: [1]} for group in found), nearly_all]:
        expected = masked(model, found, chosen)(image)
        torch.testing.assert_close(remove(model, chosen, found)(image), expected, rtol=1e-9, atol=1e-9)
    assert (expected - model(image)).abs().max() > 1e-3


@pytest.mark.parametrize("build", MODELS)
def test_a_grown_model_gives_what_the_smaller_one_gives(build: Callable[[], nn.Module]) -> None:
    model, found = trained(build), find_groups(build(), EXAMPLE)
    image = torch.randn(2, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    gone = {group.name: [0, *range(2, group.channels)] for group in found}
    smaller = remove(model, gone, found)
    with torch.no_grad():
        for values in smaller.parameters():  # as training leaves them: none as in the model they came from
            values.add_(0.01)
    whole = groups.grown(model, smaller, groups.removed(found, gone))
    assert groups.sizes(whole) == groups.sizes(model)
    torch.testing.assert_close(whole(image), smaller(image), rtol=1e-9, atol=1e-9)
    for (name, role), indices in groups.removed(found, gone).items():
        if role != "input":
            assert not whole.get_submodule(name).weight[sorted(indices)].any(), "zeros for what is gone"
    again = remove(whole, gone, found)
    for name, values in smaller.state_dict().items():
        assert torch.equal(again.state_dict()[name], values), name


def test_values_are_spread_over_all_filters() -> None:
    removed = {("a", "filter"): frozenset({0, 2}), ("b", "input"): frozenset({1})}
    spread = groups.spread({"a": torch.tensor([5.0, 6.0]), "b": torch.tensor([7.0])}, removed, {"a": 4, "b": 1})
    assert {name: values.tolist() for name, values in spread.items()} == {"a": [0, 5, 0, 6], "b": [7]}


@pytest.mark.parametrize("build", MODELS)
def test_each_filter_is_in_one_group_at_most(build: Callable[[], nn.Module]) -> None:
    found = find_groups(build(), EXAMPLE)
    for role in ("filter", "input", "norm"):
        members = [(member.layer, member) for group in found for member in group.members if member.role == role]
        indices = [(layer, index) for layer, member in members for channel in member.channels for index in channel]
        assert len(set(indices)) == len(indices)
    assert found == find_groups(copy.deepcopy(build()), EXAMPLE)


@pytest.mark.parametrize(("name", "count"), [("resnet18", 12), ("mobilenet_v3_small", 27)])
def test_every_filter_of_torchvisions_models_can_go(name: str, count: int) -> None:
    model = getattr(torchvision.models, name)(num_classes=10)
    example = torch.zeros(1, 3, 32, 32)
    found = find_groups(model, example)
    assert len(found) == count
    filters = dict.fromkeys(groups.filters(model, example), 0)
    for member in (member for group in found for member in group.members if member.role == "filter"):
        filters[member.layer] += sum(map(len, member.channels))
    assert filters == groups.filters(model, example)


def test_in_a_vision_transformer_the_channels_within_each_mlp_can_go() -> None:
    from torchvision.models import VisionTransformer

    model = VisionTransformer(32, 8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=24, num_classes=5).eval()
    names = [f"encoder.layers.encoder_layer_{number}.mlp" for number in range(2)]
    within = {f"{name}.0": (24, ((f"{name}.0", "filter"), (f"{name}.3", "input"))) for name in names}
    assert summary(find_groups(model, torch.zeros(1, 3, 32, 32))) == within


def test_removal_is_physical_and_leaves_the_model_alone() -> None:
    model = trained(Excited)
    before = copy.deepcopy(model.state_dict())
    smaller = remove(model, {"expand": [1, 4], "squeeze": [0]}, find_groups(model, EXAMPLE))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    kept = [0, 2, 3, 5]
    assert torch.equal(smaller.expand.weight, model.expand.weight[kept])
    assert torch.equal(smaller.norm.running_var, model.norm.running_var[kept])
    assert torch.equal(smaller.depthwise.weight, model.depthwise.weight[kept])
    assert torch.equal(smaller.squeeze.weight, model.squeeze.weight[1:][:, kept])
    assert torch.equal(smaller.excite.bias, model.excite.bias[kept])
    depthwise = smaller.depthwise
    assert (depthwise.groups, depthwise.in_channels, depthwise.out_channels) == (4, 4, 4)
    assert (smaller.norm.num_features, smaller.project.in_channels, smaller.project.out_channels) == (4, 4, 5)
    assert all(value.requires_grad and value.is_leaf for value in smaller.parameters())


def test_removing_nothing_gives_an_equal_copy() -> None:
    model = trained(Residual)
    same = remove(model, {}, ())
    assert same is not model
    assert all(torch.equal(value, same.state_dict()[name]) for name, value in model.state_dict().items())


def test_filters_are_all_but_the_output_layers() -> None:
    assert groups.filters(Excited(), EXAMPLE) == {"expand": 6, "depthwise": 6, "squeeze": 4, "excite": 6, "project": 5}
    assert groups.output_layer(Excited(), EXAMPLE) == "head"


def test_training_mode_frozen_weights_and_no_grad_do_not_matter() -> None:
    model = Residual().train().requires_grad_(False)
    with torch.no_grad():
        assert find_groups(model, EXAMPLE) == find_groups(Residual(), EXAMPLE)
    assert model.training and model.norm.training and not model.stem.weight.requires_grad
    assert model.stem.weight.dtype == torch.float32


class Normalised(Residual):
    """A normalisation over all channels: without some of them the others change."""

    def __init__(self) -> None:
        super().__init__()
        self.norm_inner = nn.GroupNorm(1, 5)


class Branching(Residual):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = super().forward(x)
        return x, x


def test_a_layer_over_all_channels_keeps_them() -> None:
    assert [group.name for group in find_groups(Normalised(), EXAMPLE)] == ["stem"]


@pytest.mark.parametrize(
    ("model", "example", "message"),
    [
        (Branching, EXAMPLE, "the model cannot be traced: "),
        (Residual, torch.zeros(1, 4, 8, 8), "the model cannot be traced: "),
        (nn.ReLU, EXAMPLE, "no convolution and no linear layer"),
    ],
)
def test_a_model_that_cannot_be_followed_is_refused(
    model: Callable[[], nn.Module], example: Tensor, message: str
) -> None:
    with pytest.raises(HqpError, match=message) as caught:
        find_groups(model(), example)
    assert "\n" not in str(caught.value)


def test_layers_that_match_a_pattern_keep_their_filters() -> None:
    found = find_groups(Excited(), EXAMPLE)
    assert [group.name for group in groups.without(found, ["excite"], Excited())] == ["squeeze", "project"]
    assert [group.name for group in groups.without(found, ["s*", "proj*"], Excited())] == ["expand"]
    assert groups.without(found, [], Excited()) == found
    with pytest.raises(UnknownName, match="unknown layer 'excit'; did you mean excite"):
        groups.without(found, ["excit"], Excited())


@pytest.mark.parametrize("channels", [[5], [-1], [0, 1, 2, 3, 4]])
def test_channels_that_cannot_go_are_refused(channels: list[int]) -> None:
    with pytest.raises(HqpError, match=r"channels .* of group 'inner' cannot go; some, not all"):
        remove(Residual(), {"inner": channels}, find_groups(Residual(), EXAMPLE))


def test_an_unknown_group_is_refused() -> None:
    with pytest.raises(UnknownName, match="unknown group 'iner'; did you mean inner"):
        remove(Residual(), {"iner": [0]}, find_groups(Residual(), EXAMPLE))
