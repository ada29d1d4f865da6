"""Which blocks go: those whose absence costs least for the time that it saves, as many as a share of the bound allows.

A network of many small operators is bound by their number, which taking channels leaves as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from hqp.compress.blocks import finding, standing_in
from hqp.compress.exporting import export
from hqp.compress.job import Job, spread_images
from hqp.compress.network.layers import layers
from hqp.compress.quantisation.int8 import divergence
from hqp.compress.search import bound
from hqp.compress.search.bound import LOOKS, Bound
from hqp.compress.search.candidate import TRAINED, Candidate
from hqp.compress.search.candidates import Candidates
from hqp.compress.search.draft import Draft
from hqp.ledger import Ledger
from hqp.records import BlockKind, Replaced, Simplified

STEP = "blocks"

# On so many calibration images blocks are found, and compared.
EXAMPLES, COMPARED = 4, 96

# Of Δmax, what blocks may lose of it before channels go. It is what was measured that is held to it, or what a look
# expects, and not its limit: the whole bound judges what is shipped. With 0.3 and with 0.7 MobileNetV3-Large was 5 to
# 11% slower in OpenVINO.
SHARE = 0.5

# A share of the whole network's time below which a difference is noise.
LEAST_SHARE = 1e-3


@dataclass(frozen=True)
class Divergences:
    """How far from the trained model each block's absence takes it, in nats, by block."""

    blocks: tuple[Replaced, ...]
    nats: tuple[float, ...]


@dataclass(frozen=True)
class KindTimes:
    """Microseconds that the absence of all blocks of a kind saves for each of the layers within them."""

    layer_us: dict[BlockKind, float]


def path(draft: Draft) -> list[Candidate]:
    """The trained model without 0, 1, 2, ... blocks, as many as the share of the bound allows; empty where none go."""
    pruning, job = draft.job.recipe.pruning, draft.job
    # What a block saves is time, which only the device can tell.
    if pruning is None or not pruning.blocks or job.recipe.objective != "latency_ms" or not job.is_timed:
        return []
    draft.ranked_blocks = ranked(draft.candidates)
    assert draft.bound is not None
    share = Bound(draft.bound.trained, SHARE * draft.bound.delta_max_pp, None, LOOKS, guesses=True)
    most = bound.bisect(lambda count: draft.holds(_without_first(draft, count), share), 0, len(draft.ranked_blocks) + 1)
    return [_without_first(draft, count) for count in range(most + 1)] if most else []


def _without_first(draft: Draft, count: int) -> Candidate:
    """The trained model without the first so many of the ranked blocks; a gate goes with the block that it is in."""
    first = [one.block for one in draft.ranked_blocks[:count]]

    def is_outermost(block: Replaced) -> bool:
        return not any(finding.within(block.name, other.name) for other in first)

    by_name = sorted(filter(is_outermost, first), key=lambda block: block.name)
    return draft.candidates.without({}, replaced=tuple(by_name))


def ranked(candidates: Candidates) -> tuple[Simplified, ...]:
    """The blocks that may go, the least loss for a microsecond first."""
    job = candidates.job
    found = candidates.record("blocks", job.key, Divergences, partial(_compared, job))
    may_go = _not_kept(job, found.blocks)
    if not may_go:
        return ()
    layer_us = _layer_us(candidates, may_go)
    priced = []
    for block, nats in zip(found.blocks, found.nats, strict=True):
        if block in may_go:
            saved_us = layer_us[block.kind] * len(_layers_within(job, block))
            priced.append(Simplified(block, nats, saved_us))
    return tuple(sorted(priced, key=lambda one: one.divergence / one.saved_us))


def _not_kept(job: Job, blocks: Sequence[Replaced]) -> tuple[Replaced, ...]:
    """The blocks that hold no layer of which the recipe keeps the filters."""
    from hqp.compress.channels import groups

    patterns = job.recipe.pruning.keep if job.recipe.pruning else ()
    kept = groups.matching(patterns, job.model)
    return tuple(block for block in blocks if not kept.intersection(_layers_within(job, block)))


def _layers_within(job: Job, block: Replaced) -> list[str]:
    return [name for name in layers(job.model) if finding.within(name, block.name)]


@torch.no_grad()
def _compared(job: Job, ledger: Ledger) -> Divergences:
    """One pass without each block, over some calibration images."""
    images = torch.from_numpy(spread_images(job, COMPARED))
    blocks = finding.find_blocks(job.model, images[:EXAMPLES])
    with ledger.step(STEP) as tally, job.track(STEP, len(blocks)) as advance:
        tally.images, tally.passes = (len(blocks) + 1) * len(images), len(blocks) + 1
        trained = job.model(images)
        nats = []
        for block in blocks:
            nats.append(_divergence(job, block, images, trained))
            advance(1)
    return Divergences(blocks, tuple(nats))


def _divergence(job: Job, block: Replaced, images: Tensor, trained: Tensor) -> float:
    """How far a model is whose block is replaced, where a gate is the mean of what it is for these images."""
    simpler = standing_in.without(job.model, (block,))
    if block.kind == "gate":
        standing_in.fit_alone(job.model, simpler, block, images)
    return float(divergence(trained.numpy(), simpler(images).numpy()))


def _layer_us(candidates: Candidates, blocks: Sequence[Replaced]) -> dict[BlockKind, float]:
    """Microseconds by kind, in FP32 in the device's runtime: all blocks of a kind are taken out at once, measured once.

    Time is of operators, so that a block's share is that of its layers.
    """
    key = {**candidates.job.key, "device": candidates.job.device, "blocks": [block.name for block in blocks]}
    return candidates.record("saved by blocks", key, KindTimes, lambda ledger: _measured(candidates, blocks)).layer_us


def _measured(candidates: Candidates, blocks: Sequence[Replaced]) -> KindTimes:
    job, by_kind = candidates.job, {}
    kinds: tuple[BlockKind, ...] = ("gate", "residual")
    for kind in kinds:
        of_kind = tuple(block for block in blocks if block.kind == kind)
        if of_kind:
            whole_ms, left_ms = _timed_without(candidates, of_kind)
            saved_ms = max(LEAST_SHARE * whole_ms, whole_ms - left_ms)
            by_kind[kind] = 1e3 * saved_ms / sum(len(_layers_within(job, block)) for block in of_kind)
    return KindTimes(by_kind)


def _timed_without(candidates: Candidates, blocks: Sequence[Replaced]) -> list[float]:
    """The latencies of the trained model and of what it is without these blocks, in ms, timed in turn.

    The other layers are not fitted to their absence: their weights change no time.
    """
    job = candidates.job
    with TemporaryDirectory() as folder:
        simpler = Path(folder) / "simpler.onnx"
        export.export(standing_in.without(job.model, blocks), job.input_size, simpler)
        return job.latencies_ms([candidates.fp32(TRAINED), simpler])
