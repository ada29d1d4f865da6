"""What decides a training besides the model, the images, the seed and the machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hqp.errors import HqpError


@dataclass(frozen=True)
class TrainingRecipe:
    """Everything that decides the trained weights besides the model, the images, the seed and the machine.

    ``phases`` are pairs of image size in pixels and number of epochs. The learning rate rises to ``learning_rate`` over
    the first ``warmup`` (0 to 1) of all steps and falls to zero on a cosine. ``shift`` and ``scale`` are the greatest
    random move and zoom as fractions of the frame; ``brightness`` and ``contrast`` are the greatest relative change.
    ``flip`` mirrors every second image, by chance: right for photographs, wrong for what can be read. ``erase`` is the
    side of a square that is made grey, as a share of the frame's.
    ``batch_norm_momentum`` replaces the model's own while it trains: torchvision's MobileNetV3 has 0.01, which after a
    short schedule still remembers the random start.
    """

    phases: tuple[tuple[int, int], ...] = ((48, 5), (64, 3), (96, 2))
    batch: int = 128
    learning_rate: float = 2e-3
    warmup: float = 0.2
    weight_decay: float = 0.05
    optimizer: Literal["adamw", "sgd"] = "adamw"
    label_smoothing: float = 0.1
    precision: Literal["float32", "bfloat16"] = "float32"
    batch_norm_momentum: float = 0.1
    shift: float = 0.06
    scale: float = 0.12
    brightness: float = 0.2
    contrast: float = 0.2
    flip: bool = False
    erase: float = 0.0

    def __post_init__(self) -> None:
        if not self.phases or any(size < 1 or epochs < 1 for size, epochs in self.phases):
            raise HqpError(
                f"no training by the phases {self.phases}", "pairs of image size and epochs, such as ((48, 5),)"
            )
        if self.batch < 2:
            raise HqpError(f"no training with batches of {self.batch}", "at least 2 images, for batch normalisation")

    @property
    def sizes(self) -> tuple[int, ...]:
        """The image size of every epoch, in pixels."""
        return tuple(size for size, epochs in self.phases for _ in range(epochs))
