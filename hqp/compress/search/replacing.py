"""The trained network with something simpler in the place of some blocks, what is left fitted behind them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import nn

from hqp.compress.blocks import refitting, standing_in
from hqp.compress.job import Job
from hqp.compress.search.recovery import CalibrationPasses
from hqp.ledger import Ledger
from hqp.records import Replaced

STEP = "simplification"

# With twice as many ResNet-18 without a block is as near to the trained network (KL 0.006, not 0.007), at twice the
# cost. Fewer where memory does not hold so many at once.
IMAGES = 256


class Fits:
    """What networks without some of these blocks are fitted to: so many calibration images, seen once for all."""

    def __init__(self, passes: CalibrationPasses, blocks: Sequence[Replaced], images: int) -> None:
        self._passes = passes
        self._model = passes.lay_out(passes.job.model)
        self._sampled = sampled = refitting.sampled(self._model, passes.job.example, images)
        wanted = partial(refitting.wanted, self._model, blocks, positions=sampled.positions)
        self._outputs = passes.over(sampled.images, wanted)
        self._images = passes.together(sampled.images)
        self._gates = {block.name for block in blocks if block.kind == "gate"}

    def without(self, blocks: Sequence[Replaced]) -> nn.Module:
        """The network without these blocks, its layers fitted to what the trained one's gave."""
        simpler = self._passes.lay_out(standing_in.without(self._model, blocks))
        staying = self._gates.difference(block.name for block in blocks)
        outputs = {name: rows for name, rows in self._outputs.items() if name not in staying}
        refitting.refit(simpler, outputs, self._images, {}, self._sampled.positions)
        return simpler


def simplified(job: Job, blocks: Sequence[Replaced], ledger: Ledger) -> nn.Module:
    """The network without these blocks, its layers fitted to what the trained one's gave on calibration images."""
    with ledger.step(STEP) as tally, job.track(STEP, 0):
        return Fits(CalibrationPasses(job, tally), blocks, IMAGES).without(blocks)
