"""``hqp.load``: the pruned network of an artefact, back in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hqp import catalog
from hqp.errors import Damaged, NotInstalled
from hqp.run.inputs import artifacts
from hqp.store import sha256_of

if TYPE_CHECKING:
    from torch import nn


def load(folder: str | PathLike[str], build: Callable[..., Any] | None = None) -> nn.Module:
    """The pruned network of an artefact as a module, in float32, as it was before it was quantised.

    It is rebuilt by ``build``, the function of the number of classes that built the trained network, from the record of
    what was removed; where nothing is said, by the model that ``hqp compress`` was given. It can be trained, looked at
    and exported as any other module.

    Raises:
        NotInstalled: torch is missing.
        Damaged: a file of the artefact is not as it was written.
        HqpError: there is no artefact, or ``build`` makes another network.
    """
    import hqp.compress

    absent = catalog.missing(hqp.compress)
    if absent:
        raise NotInstalled("loading a network", absent, "compress")
    from hqp.compress.exporting import pruned_weights

    made = artifacts.read(Path(folder))
    file = Path(folder) / artifacts.WEIGHTS
    if not file.is_file() or sha256_of(file) != made.sidecar.weights_sha256:
        wrong = f"{file} is not the file that {artifacts.SIDECAR} describes"
        raise Damaged(wrong, "an artefact as it was written", artifacts.FIX)
    if build is None:
        builder = catalog.load("models", made.sidecar.network.source).build
    else:
        builder = catalog.require("models", "python").builder_of(build, getattr(build, "__name__", "the function"))
    return pruned_weights.rebuilt(file, builder, artifacts.FIX)
