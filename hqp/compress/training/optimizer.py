"""The optimizer of a training, its learning rate, and the momentum of batch normalisation."""

from __future__ import annotations

import math

import torch
from torch import nn

from hqp.compress.training.recipe import TrainingRecipe


def optimizer_of(model: nn.Module, recipe: TrainingRecipe) -> torch.optim.Optimizer:
    """The recipe's, which decays matrices and kernels, but neither biases nor batch normalisation."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    free = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": free, "weight_decay": 0.0}]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=0.9, nesterov=True, fused=True)
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True)


def set_learning_rate(optimizer: torch.optim.Optimizer, recipe: TrainingRecipe, step: int, steps: int) -> None:
    """One cycle over all steps (Smith and Topin, 2018): a linear rise, then half a cosine down."""
    rise = max(1, round(recipe.warmup * steps))
    fall = 0.5 * (1 + math.cos(math.pi * (step - rise + 1) / (steps - rise + 1)))
    share = (step + 1) / rise if step < rise else fall
    for group in optimizer.param_groups:
        group["lr"] = recipe.learning_rate * share


def set_batch_norm_momentum(model: nn.Module, momentum: float) -> list[tuple[nn.BatchNorm2d, float | None]]:
    """Sets the momentum everywhere, and gives back what it was."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    before = [(norm, norm.momentum) for norm in norms]
    for norm in norms:
        norm.momentum = momentum
    return before
