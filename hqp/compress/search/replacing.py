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


def simplified(job: Job, blocks: Sequence[Replaced], ledger: Ledger) -> nn.Module:
    """The network without these blocks, its layers fitted to what the trained one's gave on calibration images."""
    with ledger.step(STEP) as tally, job.track(STEP, 0):
        passes = CalibrationPasses(job, tally)
        passes.lay_out(job.model)
        sampled = refitting.sampled(job.model, job.example, IMAGES)
        wanted = partial(refitting.wanted, job.model, blocks, positions=sampled.positions)
        outputs = passes.over(sampled.images, wanted)
        simpler = passes.lay_out(standing_in.without(job.model, blocks))
        refitting.refit(simpler, outputs, passes.together(sampled.images), {}, sampled.positions)
    return simpler
