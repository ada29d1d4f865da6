"""``nncf.quantize`` with its full bias correction: layer by layer, on the inputs that quantised layers give."""

from __future__ import annotations

from pathlib import Path

from hqp.compress.studies.peers import nncf_default
from hqp.compress.studies.peers._given import Given

name = "nncf quantize, full bias correction"
requires = ("nncf",)


def make(given: Given, out: Path) -> None:
    """Writes the INT8 file."""
    nncf_default.quantise(given, given.plain, out, fast_bias_correction=False)
