"""The images of a training: read, normalised, and augmented by draws of a generator."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from hqp.compress.training.recipe import TrainingRecipe


@dataclass(frozen=True, eq=False)
class TrainingImages:
    """Labelled images, labels int64 (n,), and the mean and deviation that normalise them.

    ``read(indices)`` gives uint8 (len(indices), h, w, 3).
    """

    read: Callable[[Sequence[int]], npt.NDArray[np.uint8]]
    labels: npt.NDArray[np.int64]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    digest: str

    def __len__(self) -> int:
        return len(self.labels)

    def spread(self, count: int) -> TrainingImages:
        """So many of them at even distances, or all: of all classes, also where these lie one after the other."""
        chosen = np.arange(min(count, len(self))) * len(self) // min(count, len(self))
        read = self.read
        return replace(
            self, labels=self.labels[chosen], read=lambda indices: read(chosen[np.asarray(indices)].tolist())
        )


def batch(images: TrainingImages, chosen: Sequence[int], size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The network's input, float32 (n, 3, size, size), and the labels."""
    pixels = torch.from_numpy(np.ascontiguousarray(images.read(chosen))).to(device).permute(0, 3, 1, 2)
    inputs = pixels.to(torch.float32)
    if inputs.shape[-2:] != (size, size):
        inputs = functional.interpolate(inputs, (size, size), mode="bilinear", antialias=True)
    mean = torch.tensor(images.mean, device=device).view(1, 3, 1, 1) * 255
    std = torch.tensor(images.std, device=device).view(1, 3, 1, 1) * 255
    labels = torch.from_numpy(images.labels[np.asarray(chosen)]).to(device)
    return (inputs - mean) / std, labels


def augmented(inputs: Tensor, recipe: TrainingRecipe, draws: torch.Generator) -> Tensor:
    """The images moved, zoomed, brightened and given more or less contrast, each by draws of its own; some mirrored."""
    count = len(inputs)
    # Five numbers from -1 to 1 for each image. Their order is part of what a seed means.
    draw = (torch.rand((count, 5), generator=draws) * 2 - 1).to(inputs.device)
    zoom, shift, contrast, brightness = draw[:, 0], draw[:, 1:3], draw[:, 3], draw[:, 4]

    # Affine maps from the new image to the old one, whose coordinates go from -1 to 1.
    maps = torch.zeros((count, 2, 3), device=inputs.device)
    maps[:, 0, 0] = maps[:, 1, 1] = torch.exp(zoom * math.log1p(recipe.scale))
    if recipe.flip:
        signs = torch.randint(2, (count,), generator=draws) * 2 - 1
        maps[:, 0, 0] *= signs.to(inputs.device)
    maps[:, :, 2] = shift * 2 * recipe.shift
    grid = functional.affine_grid(maps, list(inputs.shape), align_corners=False)
    moved = functional.grid_sample(inputs, grid, padding_mode="border", align_corners=False)

    if recipe.erase:
        moved = moved * _outside_a_square(moved, recipe.erase, draws)
    gain = 1 + recipe.contrast * contrast.view(-1, 1, 1, 1)
    offset = recipe.brightness * brightness.view(-1, 1, 1, 1)
    return moved * gain + offset


def _outside_a_square(images: Tensor, side: float, draws: torch.Generator) -> Tensor:
    """1 where an image stays and 0 in a square about a random centre (cutout, DeVries and Taylor, 2017)."""
    centres = torch.rand((2, len(images), 1), generator=draws).to(images.device)
    height, width = images.shape[-2:]
    down = (torch.arange(height, device=images.device) + 0.5) / height
    across = (torch.arange(width, device=images.device) + 0.5) / width
    in_rows = (down - centres[0]).abs() < side / 2
    in_columns = (across - centres[1]).abs() < side / 2
    inside = in_rows[:, :, None] & in_columns[:, None, :]
    return (~inside)[:, None].to(images.dtype)
