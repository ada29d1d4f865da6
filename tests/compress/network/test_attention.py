"""Attention heads: taken apart without a change, found as groups, removed whole."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import VisionTransformer

from hqp.compress.channels import finding, groups
from hqp.compress.network import attention
from hqp.compress.network.plain import plain
from hqp.compress.ranking.sensitivity import sensitivities
from hqp.compress.studies.trial import trial
from hqp.criteria import fisher_obd

torch.set_num_threads(1)

EXAMPLE = torch.zeros(1, 3, 32, 32)


def torchvisions(classes: int) -> nn.Module:
    return VisionTransformer(32, 8, 2, 4, 32, 40, num_classes=classes)


def timms(classes: int) -> nn.Module:
    timm = pytest.importorskip("timm")
    model: nn.Module = timm.create_model(
        "deit_tiny_patch16_224", num_classes=classes, img_size=32, patch_size=8, depth=2, embed_dim=48, num_heads=3
    )
    return model


BUILDS = [torchvisions, timms]


@pytest.mark.parametrize("bias", [True, False])
def test_attention_taken_apart_gives_the_same(bias: bool) -> None:
    torch.manual_seed(0)
    theirs = nn.MultiheadAttention(12, 3, bias=bias, batch_first=True).double().eval()
    images = torch.randn(2, 5, 12, dtype=torch.float64)
    for values in theirs.parameters():
        nn.init.normal_(values)
    expected = theirs(images, images, images, need_weights=False)[0]
    ours = plain(nn.Sequential(theirs))[0]
    assert isinstance(ours, attention.Attention)
    torch.testing.assert_close(ours(images, images, images, need_weights=False)[0], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("other", [{"kdim": 6, "vdim": 6}, {"add_bias_kv": True}, {"batch_first": False}])
def test_attention_of_another_kind_stays(other: dict[str, object]) -> None:
    model = nn.Sequential(nn.MultiheadAttention(12, 3, **{"batch_first": True, **other}))
    assert isinstance(plain(model)[0], nn.MultiheadAttention)


def test_masks_and_other_tokens_are_refused() -> None:
    ours = attention.Attention(nn.MultiheadAttention(12, 3, batch_first=True))
    tokens = torch.zeros(1, 5, 12)
    with pytest.raises(ValueError, match="without a mask"):
        ours(tokens, tokens, tokens, attn_mask=torch.zeros(5, 5))
    with pytest.raises(ValueError, match="of a batch with itself"):
        ours(tokens, tokens.clone(), tokens)


@pytest.mark.parametrize("build", BUILDS)
def test_heads_are_groups_beside_the_channels_of_each_mlp(build: Callable[[int], nn.Module]) -> None:
    found = finding.find_groups(plain(build(4)), EXAMPLE)
    heads = [group for group in found if group.name.endswith("qkv")]
    mlps = [group for group in found if group not in heads]
    assert len(heads) == len(mlps) == 2
    for group in heads:
        (qkv, projection), number = group.members, group.channels
        width = len(projection.channels[0])
        assert (qkv.role, projection.role) == ("filter", "input")
        assert projection.channels[1] == tuple(range(width, 2 * width))
        assert qkv.channels[1] == tuple(
            third * number * width + one for third in range(3) for one in range(width, 2 * width)
        )


@pytest.mark.parametrize("build", BUILDS)
def test_a_head_that_is_gone_adds_nothing_any_more(build: Callable[[int], nn.Module]) -> None:
    torch.manual_seed(0)
    model = plain(build(4)).double().eval()
    for values in model.parameters():
        nn.init.normal_(values, std=0.3)
    found = finding.find_groups(model, EXAMPLE)
    chosen = {group.name: [1] for group in found if group.name.endswith("qkv")}
    hidden = copy.deepcopy(model)
    for (name, role), inputs in groups.removed(found, chosen).items():
        if role == "input":
            hidden.get_submodule(name).weight.data[:, sorted(inputs)] = 0
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    given: Tensor = groups.remove(model, chosen, found)(images)
    torch.testing.assert_close(given, hidden(images), rtol=1e-9, atol=1e-9)
    assert (given - model(images)).abs().max() > 1e-3


@pytest.mark.parametrize("build", BUILDS)
def test_transformers_pass_the_trial_of_the_zoo(build: Callable[[int], nn.Module]) -> None:
    found = trial(build, 32, fisher_obd.score)
    assert found.reason is None and found.removed >= 0.1 and found.groups == 4


@pytest.mark.parametrize("build", BUILDS)
def test_every_layer_of_a_transformer_has_a_sensitivity(build: Callable[[int], nn.Module]) -> None:
    model = plain(build(4))
    for values in model.parameters():  # torchvision's head starts at zero
        nn.init.normal_(values, std=0.3)
    found = sensitivities(model, [(torch.randn(4, 3, 32, 32), torch.arange(4))]).fisher
    assert all((found[group.name] > 0).any() for group in finding.find_groups(model, EXAMPLE))
