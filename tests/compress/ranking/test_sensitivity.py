"""S and OBD against per-sample gradients by ``torch.func``, which knows nothing of Gram matrices or patches."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.utils.checkpoint import checkpoint

from hqp.compress.ranking import filter_gradients
from hqp.compress.ranking.sensitivity import Sensitivities, filter_sensitivity, measured_layers, sensitivities
from hqp.errors import HqpError

torch.set_num_threads(1)

Batch = tuple[Tensor, Tensor]


class Residual(nn.Module):
    """A small residual network with the in-place operations of torchvision's."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.inner = nn.Conv2d(6, 6, 3, padding=1, bias=False)
        self.norm_inner = nn.BatchNorm2d(6)
        self.shortcut = nn.Conv2d(6, 6, 1)
        self.head = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.stem(x)), inplace=True)
        out = self.norm_inner(self.inner(x))
        out += self.shortcut(x)
        return self.head(F.relu_(out).mean((2, 3)))


class Excited(nn.Module):
    """Depthwise, squeeze-and-excitation by convolutions of one position, hard-swish in place."""

    def __init__(self) -> None:
        super().__init__()
        self.expand = nn.Conv2d(3, 8, 1, bias=False)
        self.depthwise = nn.Conv2d(8, 8, 5, stride=2, padding=2, groups=8, bias=False)
        self.squeeze, self.excite = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.hardswish(self.depthwise(F.hardswish(self.expand(x), inplace=True)), inplace=True)
        scale = F.hardsigmoid(self.excite(F.relu_(self.squeeze(F.adaptive_avg_pool2d(x, 1)))))
        return self.head((scale * x).mean((2, 3)))


class Tokens(nn.Module):
    """A linear layer that sees several positions of each sample."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.mix, self.head = nn.Conv2d(3, 6, 3, stride=3), nn.Linear(6, 7), nn.Linear(7, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.mix(self.embed(x).flatten(2).mT)).mean(1))


def single(layer: nn.Module) -> nn.Module:
    channels = layer.out_channels
    relu = nn.ReLU(inplace=True)
    return nn.Sequential(nn.Conv2d(3, 4, 1), relu, layer, relu, nn.Flatten(), Head(channels))


class Same(nn.Conv2d):
    """Pads by itself as timm's TensorFlow models do, what is odd at the end; or in another way."""

    first = False

    def forward(self, x: Tensor) -> Tensor:
        size, step = self.kernel_size[0], self.stride[0]
        high, wide = (max(0, (-(-n // step) - 1) * step + size - n) for n in x.shape[2:])
        low = (wide if self.first else wide // 2, high if self.first else high // 2)
        return super().forward(F.pad(x, (low[0], wide - low[0], low[1], high - low[1])))


class Head(nn.Module):
    """The mean over positions, then a linear layer."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels, self.linear = channels, nn.Linear(channels, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.unflatten(1, (self.channels, -1)).sin().mean(2))


MODELS: dict[str, Callable[[], nn.Module]] = {
    "residual": Residual,
    "depthwise and excitation": Excited,
    "tokens": Tokens,
    "plain": lambda: single(nn.Conv2d(4, 6, 3)),
    "grouped": lambda: single(nn.Conv2d(4, 6, 3, groups=2, padding=1)),
    "depthwise multiplied": lambda: single(nn.Conv2d(4, 8, 3, groups=4)),
    "strided": lambda: single(nn.Conv2d(4, 6, (3, 2), stride=(2, 3), padding=(1, 0))),
    "dilated": lambda: single(nn.Conv2d(4, 6, 3, dilation=(2, 1), padding=2)),
    "depthwise dilated": lambda: single(nn.Conv2d(4, 4, 3, dilation=2, padding=2, groups=4, stride=2)),
    "reflect": lambda: single(nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect")),
    "circular": lambda: single(nn.Conv2d(4, 6, 3, padding=(2, 1), padding_mode="circular")),
    "same": lambda: single(nn.Conv2d(4, 6, (2, 4), padding="same")),
    "transposed": lambda: single(nn.ConvTranspose2d(4, 6, 3)),
    "transposed strided": lambda: single(nn.ConvTranspose2d(4, 6, (3, 2), stride=(3, 2), padding=1, output_padding=1)),
    "transposed grouped": lambda: single(nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2, bias=False)),
    "transposed dilated": lambda: single(nn.ConvTranspose2d(4, 4, 3, dilation=2, padding=(2, 1), groups=4)),
    "padded by itself": lambda: single(Same(4, 6, 3, stride=2)),
    "depthwise padded by itself": lambda: single(Same(4, 4, 5, stride=2, groups=4)),
    "pointwise strided": lambda: single(nn.Conv2d(4, 6, 1, stride=2)),
    "pointwise padded": lambda: single(nn.Conv2d(4, 6, 1, padding=1)),
    "one dimension": lambda: nn.Sequential(nn.Flatten(2), nn.Conv1d(3, 6, 5, padding=2), nn.Flatten(), Head(6)),
    "three dimensions": lambda: nn.Sequential(nn.Unflatten(1, (1, 3)), nn.Conv3d(1, 4, 2), nn.Flatten(), Head(4)),
    "pointwise of one position": lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(3, 5, 1), nn.Flatten()),
    "overwritten outputs": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(3 * 9 * 8, 7), nn.Tanh(), nn.Linear(7, 6), nn.Hardswish(inplace=True), nn.Linear(6, 5)
    ),
    "linear": lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 9 * 8, 7), nn.ReLU(inplace=True), nn.Linear(7, 5)),
}


def batch(images: int, dtype: torch.dtype = torch.float64) -> Batch:
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randn(images, 3, 9, 8, generator=generator, dtype=torch.float64).to(dtype)
    return pixels, torch.randint(0, 5, (images,), generator=generator)


def built(name: str) -> nn.Module:
    torch.manual_seed(0)
    model = MODELS[name]().double()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1, 0.3)
            nn.init.normal_(module.bias)
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return model


def by_filter(layer: nn.Module, values: Tensor) -> Tensor:
    """Weights, or their gradients, a filter a row; a transposed convolution has its inputs first."""
    if isinstance(layer, nn.ConvTranspose2d):
        values = values.unflatten(0, (layer.groups, -1)).transpose(1, 2)
        return values.flatten(0, 1).flatten(1)
    return values.flatten(1)


def by_definition(model: nn.Module, images: Tensor, labels: Tensor) -> Sensitivities:
    """The means over samples of each filter's squared gradient, and of the squared product of gradient and weights."""
    model = model.eval()
    weights = {f"{name}.weight": layer.weight.detach() for name, layer in measured_layers(model).items()}

    def loss(weights: dict[str, Tensor], image: Tensor, label: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(model, weights, image[None]), label[None])

    # Batches of one, so that operations in place meet no mapped dimension.
    samples = [grad(loss)(weights, image, label) for image, label in zip(images, labels, strict=True)]
    fisher, obd = {}, {}
    for name, layer in measured_layers(model).items():
        gradients = torch.stack([by_filter(layer, sample[f"{name}.weight"].detach()) for sample in samples])
        fisher[name] = gradients.square().sum(2).mean(0)
        obd[name] = (gradients * by_filter(layer, layer.weight.detach())).sum(2).square().mean(0)
    return Sensitivities(fisher, obd)


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("name", MODELS)
def test_float64_equals_the_definition(name: str) -> None:
    model, (images, labels) = built(name), batch(6)
    expected = by_definition(model, images, labels)
    found = sensitivities(model, [(images[:4], labels[:4]), (images[4:], labels[4:])])
    for mine, right in ((found.fisher, expected.fisher), (found.fisher_obd, expected.fisher_obd)):
        assert mine.keys() == right.keys()
        for layer, values in mine.items():
            torch.testing.assert_close(
                values, right[layer], rtol=1e-9, atol=0, msg=lambda text, at=layer: f"{at} {text}"
            )
    assert filter_sensitivity(model, [(images, labels)]).keys() == expected.fisher.keys()


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("name", MODELS)
def test_float32_is_within_1e4(name: str) -> None:
    images, labels = batch(6, torch.float32)
    expected = by_definition(built(name), images.double(), labels)
    found = sensitivities(built(name).float(), [(images, labels)])
    for layer, values in found.fisher.items():
        assert values.dtype == found.fisher_obd[layer].dtype == torch.float64
        torch.testing.assert_close(values, expected.fisher[layer], rtol=1e-4, atol=1e-12)
        # Products of either sign cancel: against their own scale.
        scale = float(expected.fisher_obd[layer].max())
        torch.testing.assert_close(found.fisher_obd[layer], expected.fisher_obd[layer], rtol=1e-4, atol=1e-5 * scale)


@pytest.mark.parametrize("name", ["residual", "depthwise and excitation", "grouped", "transposed", "linear"])
def test_bfloat16_is_within_its_rounding(name: str) -> None:
    images, labels = batch(6, torch.float32)
    expected = by_definition(built(name), images.double(), labels).fisher
    found = filter_sensitivity(built(name).bfloat16(), [(images, labels)])
    for layer, values in found.items():
        assert values.dtype == torch.float64
        # Eight bits of mantissa, through a few layers.
        torch.testing.assert_close(values, expected[layer], rtol=0, atol=0.08 * float(expected[layer].max()))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("name", MODELS)
def test_a_gpu_gives_what_the_cpu_does(name: str) -> None:
    expected = filter_sensitivity(built(name), [batch(6)])
    found = filter_sensitivity(built(name).cuda(), [batch(6)])
    for layer, values in found.items():
        torch.testing.assert_close(values, expected[layer], rtol=1e-9, atol=0)


def test_equals_vmap_of_grad() -> None:
    model, (images, labels) = built("linear").eval(), batch(6)
    model[2] = nn.Tanh()
    weights = {name: value.detach() for name, value in model.named_parameters()}

    def loss(weights: dict[str, Tensor], image: Tensor, label: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(model, weights, image[None]), label[None])

    gradients = vmap(grad(loss), in_dims=(None, 0, 0))(weights, images, labels)
    found = filter_sensitivity(model, [(images, labels)])
    for layer in ("1", "3"):
        expected = gradients[f"{layer}.weight"].square().sum(2).mean(0)
        torch.testing.assert_close(found[layer], expected, rtol=1e-9, atol=0)


def test_squaring_the_gradient_of_a_batch_is_another_number() -> None:
    model, (images, labels) = built("plain").eval(), batch(6)
    F.cross_entropy(model(images), labels).backward()
    wrong = model[2].weight.grad.flatten(1).square().sum(1)
    assert (filter_sensitivity(model, [(images, labels)])["2"] > 1.2 * wrong).all()


@pytest.mark.parametrize(("positions", "gram"), [(5, True), (6, False)])
def test_the_cheaper_route_is_taken_and_both_give_the_same(positions: int, gram: bool) -> None:
    layer, inputs = nn.Linear(10, 12).double(), torch.randn(3, positions, 10, dtype=torch.float64)
    delta = torch.randn(3, positions, 12, dtype=torch.float64)
    with torch.no_grad():
        outputs = layer(inputs)
        assert filter_gradients.by_gram(layer, outputs) is gram
        gradients = torch.einsum("ntd,ntc->ncd", inputs, delta)
        expected = torch.stack([gradients.square().sum((0, 2)), (gradients * layer.weight).sum(2).square().sum(0)])
        for given in (outputs, None):
            torch.testing.assert_close(
                filter_gradients.squared(layer, inputs, given, delta), expected, rtol=1e-12, atol=0
            )


def test_gram_and_gradients_share_no_product(monkeypatch: pytest.MonkeyPatch) -> None:
    """The route that is taken is seen in what is multiplied."""
    products: list[tuple[int, ...]] = []
    original = Tensor.__matmul__
    monkeypatch.setattr(Tensor, "__matmul__", lambda a, b: products.append(tuple(a.shape)) or original(a, b))
    inputs, delta = torch.randn(3, 5, 10), torch.randn(3, 5, 12)
    with torch.no_grad():
        filter_gradients.squared(nn.Linear(10, 12), inputs, torch.randn(3, 5, 12), delta)
        filter_gradients.squared(nn.Linear(10, 12), inputs, None, delta)
    assert products == [(3, 1, 5, 10), (3, 1, 5, 5), (3, 12, 5)]


def test_padding_of_another_kind_is_refused() -> None:
    model = built("padded by itself")
    model[2].first = True
    with pytest.raises(HqpError, match="layer '2' pads its inputs in a way of its own"):
        filter_sensitivity(model, [batch(3)])


def test_modes_and_flags_are_restored() -> None:
    model = built("residual").train()
    model.norm.eval()
    model.head.bias.requires_grad_(False)
    images, labels = batch(2)
    filter_sensitivity(model, [(images, labels)])
    assert model.training and model.inner.training and not model.norm.training
    assert model.head.weight.requires_grad and not model.head.bias.requires_grad
    assert not images.requires_grad
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(not module._forward_hooks and "forward" not in vars(module) for module in model.modules())


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.Conv2d(3, 3, 1), Head(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(self.layer(x)).flatten(1))


class Behind(Twice):
    def forward(self, x: Tensor) -> Tensor:
        return self.head((self.layer(x) + F.conv2d(x, self.layer.weight)).flatten(1))


class Never(Twice):
    def forward(self, x: Tensor) -> Tensor:
        return self.head(x.flatten(1))


class OftenForSome(Twice):
    def forward(self, x: Tensor) -> Tensor:
        x = self.layer(x)
        return self.head((self.layer(x) if len(x) > 1 else x).flatten(1))


class Overwritten(Twice):
    def forward(self, x: Tensor) -> Tensor:
        y = x.clone()
        out = self.layer(y)
        y.mul_(2)
        return self.head(out.flatten(1))


class Frozen(Twice):
    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(x).flatten(1))


class Detached(Twice):
    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(x).detach().flatten(1))


class InNumpy(Twice):
    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.from_numpy(self.layer(x).numpy()).flatten(1))


class Aside(Twice):
    """With a layer whose output nobody uses."""

    def forward(self, x: Tensor) -> Tensor:
        self.layer(x)
        return self.head(x.flatten(1))


def shared() -> nn.Module:
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), nn.Flatten(), Head(3))
    model[1].weight = model[0].weight
    return model


def poisoned() -> nn.Module:
    model = Residual()
    nn.init.constant_(model.inner.weight, float("nan"))
    return model


@pytest.mark.parametrize("model", [Twice, Behind, Never, shared])
def test_a_layer_that_works_in_several_places_or_in_none_has_no_sensitivity(model: Callable[[], nn.Module]) -> None:
    measured = filter_sensitivity(model().double(), [batch(3)])
    assert [name.split(".")[-1] for name in measured] == ["linear"]


class Checkpointed(nn.Module):
    """Two layers whose activations may be computed again in the backward pass."""

    def __init__(self, how: Callable[..., Tensor]) -> None:
        super().__init__()
        self.how, self.stem = how, nn.Conv2d(3, 4, 3, padding=1)
        self.inner = nn.Sequential(nn.Conv2d(4, 6, 1), nn.ReLU(inplace=True), nn.Conv2d(6, 4, 3))
        self.head = Head(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.how(self.inner, self.stem(x)).flatten(1))


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("reentrant", [False, True])
def test_a_layer_that_a_checkpoint_computes_again_is_called_once(reentrant: bool) -> None:
    model = Checkpointed(lambda inner, x: inner(x)).double()
    expected = filter_sensitivity(model, [batch(3)])
    model.how = partial(checkpoint, use_reentrant=reentrant)
    measured = filter_sensitivity(model, [batch(3)])
    assert list(measured) == list(expected) == ["stem", "inner.0", "inner.2", "head.linear"]
    for name, values in measured.items():
        assert values.all()
        torch.testing.assert_close(values, expected[name], rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (OftenForSome, "layer 'layer' is called more often for some images"),
        (Overwritten, "the input of layer 'layer' is overwritten"),
        (Frozen, "the network gives no gradients, .*: the loss depends on no layer; a forward pass without no_grad"),
        (Detached, "the network gives no gradients, .*: they end between layer 'layer' and the logits"),
        (InNumpy, r"the network gives no gradients, .*: Can't call numpy\(\) on Tensor that requires grad"),
        (poisoned, "the sensitivity of layer 'stem' is not finite"),
    ],
)
def test_what_cannot_be_exact_is_refused(model: Callable[[], nn.Module], message: str) -> None:
    broken = model().train()
    with pytest.raises(HqpError, match=message):
        filter_sensitivity(broken, [batch(2, torch.float32)])
    assert broken.training and all(not module._forward_hooks for module in broken.modules())


def test_a_layer_that_the_logits_do_not_depend_on_has_none() -> None:
    found = filter_sensitivity(Aside().eval(), [batch(2, torch.float32)])
    assert torch.equal(found.pop("layer"), torch.zeros(3, dtype=torch.float64))
    assert all(bool((values > 0).all()) for values in found.values())


def test_images_do_not_see_each_other_in_a_norm_without_statistics() -> None:
    model = Residual().eval()
    model.norm = nn.BatchNorm2d(6, track_running_stats=False)
    images, labels = batch(3, torch.float32)
    together = filter_sensitivity(model, [(images, labels)])
    apart = filter_sensitivity(model, [(images[i : i + 1], labels[i : i + 1]) for i in range(3)])
    for name, values in together.items():
        assert torch.equal(values, apart[name])


def test_no_image_is_refused() -> None:
    with pytest.raises(HqpError, match="no image"):
        filter_sensitivity(Residual(), [])
