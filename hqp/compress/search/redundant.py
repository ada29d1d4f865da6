"""In which order the channels of each group are missed least, found once for a network and kept in the store."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from hqp.compress.channels import recover
from hqp.compress.job import calibration_count
from hqp.compress.ranking import curvature, redundancy
from hqp.compress.search.candidate import Candidate
from hqp.compress.search.candidates import Candidates
from hqp.compress.search.passes import labelled
from hqp.compress.search.recovery import CalibrationPasses
from hqp.ledger import Ledger

# On how many images, and at how many output positions of each, orders are found. With 512 images and 64 positions the
# logits of ResNet-18 are nearer by a twentieth (KL 0.049, not 0.051, half its filters gone), at three times the cost.
IMAGES, POSITIONS = 256, 16


@dataclass(frozen=True)
class Orders:
    """The channels of each group whose order is known, those first that are missed least."""

    order: dict[str, tuple[int, ...]]


def order(candidates: Candidates, base: Candidate) -> dict[str, tuple[int, ...]]:
    """That order for a base, which has all its channels."""
    job, pruning = candidates.job, candidates.job.recipe.pruning
    assert pruning is not None

    def find(ledger: Ledger) -> Orders:
        network, groups = candidates.base(base), candidates.groups(base)
        losing = recover.losing(network, groups)
        with ledger.step("sensitivity") as tally, job.track("order of channels", 0):
            passes = CalibrationPasses(job, tally)
            passes.lay_out(network)
            grams = passes.over(IMAGES, partial(recover.grams, network, losing, positions=POSITIONS))
            tally.passes, tally.images = tally.passes + 1, tally.images + calibration_count(job, IMAGES)
            bends = curvature.curvatures(network, list(grams), labelled(job, IMAGES), job.warn)
            found = {}
            for group in groups:
                known = redundancy.order(network, group, grams, bends)
                if known is not None:
                    found[group.name] = known
        return Orders(found)

    key = {**candidates.key(base), "images": IMAGES, "positions": POSITIONS, "keep": pruning.keep}
    return candidates.record("order", key, Orders, find).order
