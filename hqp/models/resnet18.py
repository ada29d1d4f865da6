"""ResNet-18 (He et al., 2015), as torchvision builds it."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

requires = ("torch", "torchvision")
input_size = 224
weights = "ResNet18_Weights.IMAGENET1K_V1"

training = MappingProxyType({"phases": ((48, 3), (64, 3), (96, 3)), "precision": "bfloat16"})
"""What `hqp train` does otherwise than by default: fields of `TrainingRecipe`."""

training_on = MappingProxyType(
    {
        "cifar10": {
            "phases": ((48, 9), (64, 9)),
            "optimizer": "sgd",
            "learning_rate": 0.1,
            "weight_decay": 5e-4,
        }
    }
)
"""The same for one dataset, before what that dataset asks for."""


def build(num_classes: int) -> nn.Module:
    """The architecture for `num_classes`, randomly initialised, in training mode."""
    from torchvision.models import resnet18

    model: nn.Module = resnet18(weights=None, num_classes=num_classes)
    return model
