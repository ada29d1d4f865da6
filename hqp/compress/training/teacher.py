"""A trained model from which another one learns."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

# Of distillation: probabilities softened so far show what the teacher holds similar.
TEMPERATURE = 4.0


@dataclass(frozen=True, eq=False)
class Teacher:
    """A trained model, on the device of the one that learns from it, and its ``share`` of the loss, 0 to 1.

    It sees the same augmented images: L. Beyer et al., "Knowledge distillation: A good teacher is patient and
    consistent", arXiv 2106.05237 (2022).
    """

    model: nn.Module
    share: float

    def loss(self, inputs: Tensor, outputs: Tensor) -> Tensor:
        """The mean KL divergence from the teacher's probabilities, both softened by the temperature.

        Source: G. Hinton et al., "Distilling the Knowledge in a Neural Network", arXiv 1503.02531 (2015).
        """
        with torch.no_grad():
            wanted = functional.log_softmax(self.model(inputs) / TEMPERATURE, 1)
        given = functional.log_softmax(outputs / TEMPERATURE, 1)
        return TEMPERATURE**2 * functional.kl_div(given, wanted, reduction="batchmean", log_target=True)
