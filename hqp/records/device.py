"""Where a file runs, and how it wants to be made for that."""

from __future__ import annotations

from dataclasses import dataclass

from hqp.records.method import Policy


@dataclass(frozen=True)
class Device:
    """Hardware and the runtime on it. ``threads`` are declared, never inherited from the process.

    ``host`` is where it is: this machine where it is empty, else a destination that the system's SSH client knows.
    ``dla_core`` is the deep-learning accelerator that it runs on in place of the GPU, by number.
    """

    runtime: str
    threads: int
    precisions: tuple[str, ...]
    policy: Policy
    summary: str
    host: str = ""
    dla_core: int | None = None
