"""Taylor groups of torch-pruning, then ``nncf.quantize``: the deepest of some ratios whose INT8 file holds the bound.

Nothing is trained, as in HQP; batch norms are estimated anew on the calibration images.
"""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from hqp.compress.channels import recover
from hqp.compress.channels.groups import output_layer
from hqp.compress.exporting import export
from hqp.compress.studies.peers import nncf_default
from hqp.compress.studies.peers._given import Given

name = "torch-pruning (Taylor groups), nncf quantize"
requires = ("torch_pruning", "nncf")

# The share of all channels that go, in percent, in blocks of eight, which kernels like.
RATIOS = (2, *range(5, 55, 5))
BLOCK, BATCH = 8, 32
MOST_OF_A_LAYER = 0.9


def make(given: Given, out: Path) -> None:
    """Writes the INT8 file; nothing is pruned where not even the smallest ratio holds the bound."""
    pruned, candidate = out.with_suffix(".pruned.onnx"), out.with_suffix(".candidate.onnx")
    nncf_default.make(given, out)
    for percent in RATIOS:
        export.export(prune(given, percent / 100), given.size, pruned)
        nncf_default.quantise(given, pruned, candidate)
        if not given.is_within(candidate):
            return
        shutil.copyfile(candidate, out)


def prune(given: Given, ratio: float) -> nn.Module:
    """The network without that share of its channels, which go where the Taylor importance of their groups is least."""
    import torch_pruning

    model = copy.deepcopy(given.model)
    example = torch.zeros(1, 3, given.size, given.size)
    output = model.get_submodule(output_layer(model, example))
    pruner = torch_pruning.pruner.BasePruner(
        model,
        example,
        torch_pruning.importance.GroupTaylorImportance(),
        global_pruning=True,
        pruning_ratio=ratio,
        max_pruning_ratio=MOST_OF_A_LAYER,
        ignored_layers=[output],
        round_to=BLOCK,
    )
    for images, labels in _batches(given):
        functional.cross_entropy(model(images), labels, reduction="sum").backward()
    pruner.step()
    # Batch norms take the mean and the variance that the pruned network has on the calibration images.
    recover.normalise_by(model, recover.moments(model, (images for images, _ in _batches(given))))
    return model


def _batches(given: Given) -> Iterator[tuple[Tensor, Tensor]]:
    images, labels = torch.from_numpy(given.images), torch.from_numpy(given.labels)
    return zip(images.split(BATCH), labels.split(BATCH), strict=True)
