"""MobileNetV3-Small (Howard et al., 2019), as torchvision builds it."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

requires = ("torch", "torchvision")
input_size = 224
weights = "MobileNet_V3_Small_Weights.IMAGENET1K_V1"

training = MappingProxyType({"phases": ((48, 4), (64, 3), (96, 3)), "learning_rate": 3e-3, "precision": "float32"})
"""What `hqp train` does otherwise than by default: fields of `TrainingRecipe`."""


def build(num_classes: int) -> nn.Module:
    """The architecture for `num_classes`, randomly initialised, in training mode."""
    from torchvision.models import mobilenet_v3_small

    model: nn.Module = mobilenet_v3_small(weights=None, num_classes=num_classes)
    return model
