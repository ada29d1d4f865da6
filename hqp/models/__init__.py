"""Models: one file each.

A file defines

* ``requires``: the packages it needs, e.g. ``("torch", "torchvision")``;
* ``build(num_classes: int) -> torch.nn.Module``: the architecture, randomly initialised, in training mode;
* ``input_size``: the height and width it was designed for, in pixels;
* ``weights``: how torchvision names its pretrained weights, or ``None``;
* ``training`` and ``training_on``, both optional: as in ``Architecture``.

Or, where a name is followed by an argument (``torchvision:resnet50``), ``argument``, which says what that is, and
``bind(argument) -> Architecture``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hqp.records import Reading

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Pretrained:
    """Weights that a library offers, and how images become the input they were trained for."""

    state: Mapping[str, Tensor]
    input_size: int
    reading: Reading


@dataclass(frozen=True)
class Architecture:
    """The model that a name with an argument stands for.

    ``input_size`` is ``None`` where nothing says for which it was designed. ``pretrained()`` loads the library's
    weights. ``digest`` tells two versions of code that is not installed apart. ``training`` is what ``hqp train`` does
    otherwise than by default: fields of its recipe. A dataset's own fields overrule these, and those that
    ``training_on`` has under the dataset's name overrule both.
    """

    build: Callable[[int], nn.Module]
    input_size: int | None
    pretrained: Callable[[], Pretrained] | None = None
    digest: str = ""
    requires: tuple[str, ...] = ()
    weights: str | None = None
    training: Mapping[str, object] = field(default_factory=dict)
    training_on: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
