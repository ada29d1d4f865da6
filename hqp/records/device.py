"""Where a file runs, and how it wants to be made for that."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import get_args

from hqp.errors import HqpError
from hqp.records.method import Floats, Policy, Precision


@dataclass(frozen=True)
class Device:
    """Hardware and the runtime on it. ``threads`` are declared, never inherited from the process.

    ``host`` is where it is: this machine where it is empty, else a destination that the system's SSH client knows.
    ``stand_in`` is the device, usable on any workstation, that judges accuracy while an artefact is made for this one.
    ``dla_core`` is the deep-learning accelerator that it runs on in place of the GPU, by number. ``rails`` are those
    that add up to the power of the module; there are none where power is not measured.
    ``needs`` says of a precision by which word the processor's instructions name it, where not every processor of the
    kind has it: ``{"bf16": "bf16"}``. ``replaces`` says which of its ``precisions`` it runs in the place of one that it
    lacks: ``{"int8": "fp16"}``. A method in any other is refused.
    """

    runtime: str
    threads: int
    precisions: tuple[Precision, ...]
    policy: Policy
    summary: str
    host: str = ""
    stand_in: str = ""
    dla_core: int | None = None
    rails: tuple[str, ...] = ()
    replaces: dict[Precision, Floats] = field(default_factory=dict)
    needs: dict[Precision, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for asked, instead in self.replaces.items():
            if asked in self.precisions or instead not in self.precisions or instead not in get_args(Floats):
                right = "one that it lacks by one that it has: FP32, FP16 or BF16"
                raise HqpError(f"a device replaces {asked} by {instead}", right)

    def with_instructions(self, told: str) -> Device:
        """The device with those of its precisions that the processor has; all where it tells no instructions."""
        if not told:
            return self
        lacking = {precision for precision, word in self.needs.items() if word not in told}
        return replace(self, precisions=tuple(has for has in self.precisions if has not in lacking))
