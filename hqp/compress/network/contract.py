"""What HQP asks of a model: images in, one row of logits for each out, in float32, and the same at every call."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from hqp.compress.network import wrappers
from hqp.compress.network.evaluation_mode import normalising_by_batch
from hqp.compress.network.layers import Convolution, Layer
from hqp.errors import HqpError
from hqp.foreign import foreign

# What a forward pass raises on an input that does not suit the network, or by a mistake in its code.
FORWARD_ERRORS = (
    RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError, ArithmeticError, NameError,
    ImportError,
)  # fmt: skip

# The name of a module whose forward pass has begun, the module, and its input where that is a tensor.
Entered = tuple[str, nn.Module, Tensor | None]

LOGITS = "one tensor of logits, of shape (batch, classes)"
WRAP = "wrap it in a module that returns the logits alone"

# Sizes of image that networks are made for, of which one is proposed where another does not fit.
SIZES = (32, 64, 96, 128, 160, 192, 224, 240, 256, 288, 299, 320, 384, 448, 512)

# So often a network that draws random numbers is called before they are held to be of no use: dropout of one channel in
# ten, of a single channel, does nothing in a hundred calls by a chance of three in a hundred thousand.
CALLS = 100

# Of the largest logit: two calls differ by less where only the order of sums does.
TOLERANCE = 1e-3


def module(
    build: Callable[[int], Any], num_classes: int, input_size: int, say: Callable[[str], None] = lambda line: None
) -> nn.Module:
    """What ``build`` gives for so many classes: out of its wrappers, in float32 and evaluation mode.

    Layers that learn their shape at the first call have seen an image of ``input_size`` pixels. ``say`` is told where
    the precision is another than the model's own.

    Raises:
        HqpError: it is no module, or one that is quantised or TorchScript.
    """
    built = build(num_classes)
    if not isinstance(built, nn.Module):
        raise HqpError(
            f"the model's function gives a {type(built).__name__}", "a torch.nn.Module; does it end in return?"
        )
    model = wrappers.unwrapped(built).eval()
    others = {value.dtype for value in model.parameters() if value.is_floating_point()} - {torch.float32}
    if others:
        say(f"the model's weights are {', '.join(sorted(map(_short, others)))}: float32 from here on")
        model.float()
    if any(is_lazy(value) for value in model.parameters()):
        _forward(model, _image(model, input_size), "")
    return model


def require_classifier(
    model: nn.Module,
    size: int,
    classes: int,
    say: Callable[[str], None] = lambda line: None,
    resize: str = "--input-size {}",
) -> int:
    """How many outputs the model has, seen by running an image of noise of ``size`` pixels through it.

    ``say`` is told where the logits of an image depend on the images beside it. ``resize`` is how another size is asked
    for.

    Raises:
        HqpError: the model needs several inputs, cannot take that size, computes in another precision than float32,
            gives other logits at a second call, or something other than logits, or fewer than there are classes.
    """
    _require_one_input(model)
    by_batch = normalising_by_batch(model)
    if by_batch:
        say(
            f"warning: layer '{by_batch}' has no running statistics (track_running_stats=False): it normalises an image"
            " by the images beside it. Here each image is judged alone, as the file sees it"
        )
    image = _image(model, size)
    found = logits(_forward(model, image, resize))
    if len(found) != 1:
        raise HqpError(f"the model returns {tuple(found.shape)} for one image", LOGITS, WRAP)
    if found.shape[1] < classes:
        raise HqpError(
            f"the model has {found.shape[1]} outputs, and the labels of the dataset go up to {classes - 1}",
            f"{classes} outputs or more",
        )
    _require_repetition(model, image)
    return found.shape[1]


def _require_one_input(model: nn.Module) -> None:
    parameters = inspect.signature(model.forward).parameters.values()
    needed = [parameter.name for parameter in parameters if _is_needed(parameter)]
    if len(needed) > 1:
        raise HqpError(f"forward of the model needs {len(needed)} inputs ({', '.join(needed)})", "one batch of images")


def logits(output: Any) -> Tensor:
    """What a model returned, where it is logits.

    Raises:
        HqpError: it is anything else; the message says what.
    """
    if isinstance(output, Mapping):
        raise HqpError(f"the model returns a dict ({', '.join(map(str, output))})", LOGITS, WRAP)
    if isinstance(output, tuple | list):
        raise HqpError(f"the model returns a {type(output).__name__} of {len(output)}", LOGITS, WRAP)
    if not isinstance(output, Tensor) or output.ndim != 2:
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise HqpError(f"the model returns {shape}", LOGITS, WRAP)
    return output


def training_logits(output: Any) -> Tensor:
    """What a model returned in training mode: of several, as with auxiliary heads, the logits are the first."""
    return logits(output[0] if isinstance(output, tuple | list) and output else output)


def _is_needed(parameter: inspect.Parameter) -> bool:
    variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    return parameter.default is parameter.empty and not variadic


def _short(kind: torch.dtype) -> str:
    return str(kind).removeprefix("torch.")


def _image(model: nn.Module, size: int) -> Tensor:
    """One image of noise, always the same, of the model's own arithmetic."""
    noise = torch.randn((1, 3, size, size), generator=torch.Generator().manual_seed(0))
    parameter = next(model.parameters(), noise)
    return noise.to(parameter.device, parameter.dtype)


def _forward(model: nn.Module, image: Tensor, resize: str) -> Any:
    """What the model returns for an image; a mistake is told with the layer where it was met."""
    entered: list[Entered] = []
    size = image.shape[-1]
    try:
        # Not inference_mode: what a forward pass keeps for later ones must be fit for gradients.
        with (
            _watched(model, entered),
            foreign(f"the network cannot take an image of {size}x{size} pixels"),
            torch.no_grad(),
            torch.random.fork_rng(),
        ):
            return model(image)
    except HqpError as error:
        if error.__cause__ is None:  # a refusal, no mistake of the network's code
            raise
        raise _refused(model, image, error, entered[-1:], resize) from error.__cause__


@contextmanager
def _watched(model: nn.Module, entered: list[Entered]) -> Iterator[None]:
    """Inside, ``entered`` holds the modules whose forward pass is under way, the innermost last, and their input."""

    def enter(name: str, layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        first = inputs[0] if inputs and isinstance(inputs[0], Tensor) else None
        entered.append((name, layer, first))

    def leave(name: str, layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        entered.pop()
        _require_own_precision(name, layer, output)

    with ExitStack() as hooks:
        for name, part in model.named_modules():
            hooks.enter_context(part.register_forward_pre_hook(partial(enter, name)))
            hooks.enter_context(part.register_forward_hook(partial(leave, name)))
        yield


def _require_own_precision(name: str, layer: nn.Module, output: Any) -> None:
    """Refuses a layer whose output has another type than its weights."""
    if isinstance(layer, Layer) and isinstance(output, Tensor) and output.dtype != layer.weight.dtype:
        wrong = f"layer '{name}' computes in {_short(output.dtype)}, by torch.autocast or a cast in forward"
        raise HqpError(wrong, f"{_short(layer.weight.dtype)} throughout: precision is chosen by HQP")


def _refused(model: nn.Module, image: Tensor, error: HqpError, innermost: list[Entered], resize: str) -> HqpError:
    """What to tell the user of an image that the network did not take: its channels, or a size that it would take."""
    name, layer, taken = innermost[0] if innermost else ("", model, None)
    sees_image = taken is not None and taken.shape == image.shape
    if isinstance(layer, Convolution) and sees_image and layer.in_channels != 3:
        return _other_channels(name, layer.in_channels)
    wrong = f"{error.wrong}, in layer '{name}'" if name else error.wrong
    for size in SIZES:
        if size != image.shape[-1] and _takes(model, size):
            return HqpError(wrong, "the size it was made for", resize.format(size))
    return HqpError(wrong, f"nor can it take one of {SIZES[0]} to {SIZES[-1]}")


def _other_channels(name: str, channels: int) -> HqpError:
    grey = "call it with x[:, :1] in a module of your own, for grey images" if channels == 1 else ""
    wrong = f"layer '{name}' takes images of {channels} channels, and HQP gives 3"
    return HqpError(wrong, "a network for RGB images", grey)


def _takes(model: nn.Module, size: int) -> bool:
    try:
        with foreign(""), torch.no_grad():
            model(_image(model, size))
    except HqpError:
        return False
    return True


def _require_repetition(model: nn.Module, image: Tensor) -> None:
    """Refuses a network that in evaluation mode gives one image other logits at another call."""
    with torch.random.fork_rng(), torch.no_grad():
        before = torch.get_rng_state()
        first = model(image)
        draws = not torch.equal(before, torch.get_rng_state())
        limit = TOLERANCE * float(first.abs().max())
        for _ in range(CALLS if draws else 1):
            again = model(image)
            if not torch.allclose(again, first, rtol=0, atol=limit, equal_nan=True):
                raise _changing(draws)


def _changing(draws: bool) -> HqpError:
    wrong = "in evaluation mode the network gives an image other logits at another call"
    if draws:
        dropout = "dropout that is off in evaluation mode", "F.dropout(x, p, training=self.training)"
        return HqpError(f"{wrong}: it draws random numbers", *dropout)
    return HqpError(f"{wrong}: it keeps something of the call before", "a forward pass of the image alone")
