"""Which blocks go: those whose absence costs least for the time that it saves, as many as a share of the bound allows.

A network of many small operators is bound by their number, which taking channels leaves as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from hqp.compress.blocks import finding, standing_in
from hqp.compress.exporting import export
from hqp.compress.job import Job, spread_images
from hqp.compress.network.layers import layers
from hqp.compress.quantisation import int8, qdq
from hqp.compress.quantisation.int8 import divergence
from hqp.compress.ranking import limits
from hqp.compress.search import bound, replacing
from hqp.compress.search.bound import LOOKS, Bound
from hqp.compress.search.candidate import TRAINED, Candidate
from hqp.compress.search.candidates import Candidates
from hqp.compress.search.draft import Draft
from hqp.compress.search.latency_model import CHEAP
from hqp.compress.search.recovery import CalibrationPasses
from hqp.ledger import Ledger
from hqp.records import BlockKind, Replaced, Simplified

STEP = "blocks"

# On so many calibration images blocks are found, what is left is fitted to the absence of one, and both are compared.
# By fits to 64 blocks come in the order that those to 256 give (rank correlation 0.96), in a quarter of the time.
EXAMPLES, FITTED, COMPARED = 4, 64, 96

# A gate may lie in a residual block, so that it goes first.
KINDS: tuple[BlockKind, ...] = ("gate", "residual")

# Of Δmax, what blocks may lose of it before channels go. It is what was measured that is held to it, or what a look
# expects, and not its limit: the whole bound judges what is shipped. With 0.3 and with 0.7 MobileNetV3-Large was 5 to
# 11% slower in OpenVINO.
SHARE = 0.5

# A share of the whole network's time below which a difference is noise.
LEAST_SHARE = 1e-3


@dataclass(frozen=True)
class Divergences:
    """How far from the trained model each block's absence takes it, what is left fitted to it, in nats, by block."""

    blocks: tuple[Replaced, ...]
    nats: tuple[float, ...]


@dataclass(frozen=True)
class KindTimes:
    """Microseconds that a layer takes within blocks of a kind; within a gate it is of the gate's kind."""

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
    outermost = [block for block in first if not _lies_in_another(block, first)]
    by_name = sorted(outermost, key=lambda block: block.name)
    return draft.candidates.without({}, replaced=tuple(by_name))


def _lies_in_another(block: Replaced, blocks: Sequence[Replaced]) -> bool:
    return any(finding.within(block.name, other.name) for other in blocks)


def ranked(candidates: Candidates) -> tuple[Simplified, ...]:
    """The blocks that may go, the least loss for a microsecond first."""
    job = candidates.job
    found = candidates.record("blocks", {**job.key, "fitted": FITTED}, Divergences, partial(_compared, job))
    may_go = _not_kept(job, found.blocks)
    if not may_go:
        return ()
    layer_us = _layer_us(candidates, may_go)
    priced = []
    for block, nats in zip(found.blocks, found.nats, strict=True):
        if block in may_go:
            saved_us = sum(layer_us[kind] for kind in _kinds_within(job, block, may_go))
            priced.append(Simplified(block, nats, saved_us))
    in_order = sorted(priced, key=lambda one: one.divergence / one.saved_us)
    blocks = [one.block for one in in_order]
    # What lies in a block that has gone before is gone with it.
    return tuple(one for place, one in enumerate(in_order) if not _lies_in_another(one.block, blocks[:place]))


def _not_kept(job: Job, blocks: Sequence[Replaced]) -> tuple[Replaced, ...]:
    """The blocks that hold no layer of which the recipe keeps filters."""
    from hqp.compress.channels import groups

    pruning = job.recipe.pruning
    assert pruning is not None
    kept = groups.matching(pruning.keep, job.model)
    kept |= {layer for layer in layers(job.model) if limits.share(pruning.at_most, layer) < 1}
    return tuple(block for block in blocks if not kept.intersection(_layers_within(job, block)))


def _layers_within(job: Job, block: Replaced) -> list[str]:
    return [name for name in layers(job.model) if finding.within(name, block.name)]


def _kinds_within(job: Job, block: Replaced, blocks: Sequence[Replaced]) -> list[BlockKind]:
    """The kind of each layer within a block: of a gate's layers that is the gate's, wherever it lies."""
    gates = [one.name for one in blocks if one.kind == "gate"]

    def kind(layer: str) -> BlockKind:
        return "gate" if any(finding.within(layer, gate) for gate in gates) else block.kind

    return [kind(layer) for layer in _layers_within(job, block)]


@torch.no_grad()
def _compared(job: Job, ledger: Ledger) -> Divergences:
    """Each block's absence, with what is left fitted to it, over some calibration images."""
    images = torch.from_numpy(spread_images(job, COMPARED))
    blocks = finding.find_blocks(job.model, images[:EXAMPLES])
    with ledger.step(STEP) as tally, job.track(STEP, len(blocks)) as advance:
        passes = CalibrationPasses(job, tally)
        fits = replacing.Fits(passes, blocks, FITTED)
        trained = job.model(images).numpy()
        nats = []
        for block in blocks:
            nats.append(divergence(trained, fits.without([block])(images).numpy()))
            advance(1)
        tally.images, tally.passes = tally.images + (len(blocks) + 1) * len(images), tally.passes + len(blocks) + 1
    return Divergences(blocks, tuple(nats))


def _layer_us(candidates: Candidates, blocks: Sequence[Replaced]) -> dict[BlockKind, float]:
    """Microseconds by kind, on the device: all blocks of a kind are taken out at once, and measured once.

    Time is of operators, so that a block's share is that of its layers.
    """
    job = candidates.job
    key = {
        **job.key,
        "device": job.device,
        "blocks": [block.name for block in blocks],
        "policy": asdict(job.policy) if job.recipe.quantization else None,
    }
    return candidates.record("saved by blocks", key, KindTimes, partial(_measured, candidates, blocks)).layer_us


def _measured(candidates: Candidates, blocks: Sequence[Replaced], ledger: Ledger) -> KindTimes:
    """First the gates go, then what is left of residual blocks, so that no gate is counted twice."""
    of_kind: dict[BlockKind, list[Replaced]] = {}
    for kind in KINDS:
        alike = [block for block in blocks if block.kind == kind]
        if alike:
            of_kind[kind] = alike
    gone: list[Replaced] = []
    networks: list[list[Replaced]] = []
    for alike in of_kind.values():
        gone += alike
        networks.append([block for block in gone if not _lies_in_another(block, gone)])
    with ledger.step(STEP) as tally:
        times_ms = _timed_without(candidates, networks)
        tally.passes = len(times_ms)
    layer_us: dict[BlockKind, float] = {}
    for (kind, alike), (before_ms, after_ms) in zip(of_kind.items(), pairwise(times_ms), strict=True):
        saved_ms = max(LEAST_SHARE * times_ms[0], before_ms - after_ms)
        layers = sum(_kinds_within(candidates.job, block, blocks).count(kind) for block in alike)
        layer_us[kind] = 1e3 * saved_ms / layers
    return KindTimes(layer_us)


def _timed_without(candidates: Candidates, networks: Sequence[Sequence[Replaced]]) -> list[float]:
    """The latencies of the trained model and of what it is without each of these sets of blocks, in ms, timed in turn.

    All are quantised as what is shipped, but cheaply, and no layer is fitted to what is gone: that changes no time.
    """
    job = candidates.job
    with TemporaryDirectory() as folder:
        plain = [candidates.fp32(TRAINED)]
        for number, blocks in enumerate(networks):
            plain.append(Path(folder) / f"{number}.onnx")
            export.export(standing_in.without(job.model, blocks), job.input_size, plain[-1])
        if job.recipe.quantization is None:
            return job.latencies_ms(plain)
        return job.latencies_ms([_quantised(job, file, Path(folder) / f"{file.stem}-int8.onnx") for file in plain])


def _quantised(job: Job, plain: Path, file: Path) -> Path:
    # What this takes is entered as a whole.
    found = int8.ranges(job, CHEAP, job.policy, plain, Ledger())
    (ranges,) = found.by_calibration.values()
    qdq.quantize(plain, file, ranges, job.policy)
    return file
