"""Any classifier of timm, `timm:mobilenetv4_conv_small`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from hqp.errors import HqpError, UnknownName
from hqp.models import Architecture, Pretrained
from hqp.records import Reading

if TYPE_CHECKING:
    from torch import nn

requires = ("torch", "timm")
argument = "NAME"

# What timm calls a crop_mode, by which sides it resizes.
RESIZED: Mapping[str, Literal["shorter", "squash"]] = MappingProxyType({"center": "shorter", "squash": "squash"})


def bind(argument: str) -> Architecture:
    """The architecture of that name, and of its tag where it has one.

    Raises:
        UnknownName: timm has no such model.
    """
    import timm

    name = argument.partition(".")[0]
    if not timm.is_model(name):
        fix = 'python -c "import timm; print(*timm.list_models(), sep=chr(10))"'
        raise UnknownName("model of timm", argument, timm.list_models(), fix)
    size = int(_config(argument)["input_size"][-1])
    return Architecture(partial(_build, name), size, partial(_pretrained, argument))


def _build(name: str, num_classes: int) -> nn.Module:
    import timm

    model: nn.Module = timm.create_model(name, pretrained=False, num_classes=num_classes)
    return model


def _config(name: str) -> dict[str, Any]:
    import timm

    config = timm.get_pretrained_cfg(name)
    return config.to_dict() if config else {"input_size": (3, 224, 224)}


def _pretrained(name: str) -> Pretrained:
    import timm

    try:
        model = timm.create_model(name, pretrained=True)
    except (OSError, RuntimeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise HqpError(
            f"weights of {name} cannot be had ({reason})", "a network, or a file", "--weights FILE"
        ) from None
    config = timm.data.resolve_model_data_config(model)
    return Pretrained(model.state_dict(), int(config["input_size"][-1]), reading(config))


def reading(config: dict[str, Any]) -> Reading:
    """How the images are read that a configuration of timm describes, as by its ``create_transform``.

    Raises:
        HqpError: they are padded, which is not done here.
    """
    mode = config.get("crop_mode") or "center"
    if mode not in RESIZED:
        raise HqpError(f"its images have the crop_mode '{mode}'", f"one of {', '.join(RESIZED)}", "--weights FILE")
    return Reading(
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        crop=config["crop_pct"],
        resize=RESIZED[mode],
        interpolation=config["interpolation"],
    )
