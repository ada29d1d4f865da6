"""Any classifier of torchvision, `torchvision:resnet50`."""

from __future__ import annotations

import inspect
from functools import partial
from typing import TYPE_CHECKING, Any

from hqp.errors import HqpError, UnknownName
from hqp.models import Architecture, Pretrained
from hqp.records import Reading

if TYPE_CHECKING:
    from torch import nn

requires = ("torch", "torchvision")
argument = "NAME"


def names() -> list[str]:
    """The classifiers of torchvision."""
    from torchvision import models

    return list(models.list_models(module=models))


def bind(argument: str) -> Architecture:
    """The architecture of that name.

    Raises:
        UnknownName: torchvision has no such classifier.
    """
    from torchvision import models

    if argument not in names():
        fix = 'python -c "from torchvision import models; print(*models.list_models(models), sep=chr(10))"'
        raise UnknownName("model of torchvision", argument, names(), fix)
    offered = models.get_model_weights(argument)
    weights = next(iter(offered)) if len(offered) else None
    size = int(_transforms(weights).crop_size[0]) if weights else 224
    return Architecture(partial(_build, argument), size, partial(pretrained, f"{offered.__name__}.DEFAULT"))


def _build(name: str, num_classes: int) -> nn.Module:
    from torchvision import models

    # Auxiliary classifiers serve training alone; without a choice of its random start, torchvision warns.
    options: dict[str, Any] = {"aux_logits": False, "init_weights": True}
    taken = inspect.signature(models.get_model_builder(name)).parameters
    network = inspect.signature(getattr(models, _class_of(name), object)).parameters if "kwargs" in taken else {}
    chosen = {key: value for key, value in options.items() if key in network}
    model: nn.Module = models.get_model(name, weights=None, num_classes=num_classes, **chosen)
    return model


def _class_of(name: str) -> str:
    return {"googlenet": "GoogLeNet", "inception_v3": "Inception3"}.get(name, "")


def pretrained(weights: str) -> Pretrained:
    """Weights by torchvision's own name for them, such as ``ResNet18_Weights.IMAGENET1K_V1``.

    Raises:
        HqpError: they cannot be downloaded.
    """
    from torchvision import models

    found = models.get_weight(weights)
    try:
        state = found.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise HqpError(f"{weights} cannot be had ({error})", "a network, or a file", "--weights FILE") from None
    transforms = _transforms(found)
    return Pretrained(state, int(transforms.crop_size[0]), reading(transforms))


def reading(transforms: Any) -> Reading:
    """How the images are read that the transforms of torchvision's weights describe.

    A share of the crop, not a size of the shorter side: what is asked for at another input size is cropped alike.
    """
    size, resized = int(transforms.crop_size[0]), int(transforms.resize_size[0])
    return Reading(
        mean=tuple(transforms.mean),
        std=tuple(transforms.std),
        crop=min(1.0, size / resized),
        resize="shorter",
        interpolation=transforms.interpolation.value,
    )


def _transforms(weights: Any) -> Any:
    return weights.transforms()
