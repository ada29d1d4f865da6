"""In which order the channels of each group are missed least, found once for a network and kept in the store."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from hqp.compress.job import calibration_count
from hqp.compress.ranking import curvature, redundancy
from hqp.compress.search import passes
from hqp.compress.search.candidate import Candidate
from hqp.compress.search.candidates import Candidates
from hqp.ledger import Ledger
from hqp.records import Recovery


@dataclass(frozen=True)
class Orders:
    """The channels of each group whose order is known, those first that are missed least."""

    order: dict[str, tuple[int, ...]]


def order(candidates: Candidates, base: Candidate) -> dict[str, tuple[int, ...]]:
    """That order for a base, which has all its channels, by the Gram matrices that its recovery takes too."""
    job, pruning = candidates.job, candidates.job.recipe.pruning
    assert pruning is not None
    how = pruning.recovery or Recovery()
    grams = candidates.reference(how, base.replaced).grams

    def find(ledger: Ledger) -> Orders:
        with ledger.step("sensitivity") as tally, job.track("order of channels", 0):
            tally.passes, tally.images = 1, calibration_count(job, how.images)
            network, found = candidates.base(base), {}
            bends = curvature.curvatures(network, list(grams), passes.labelled(job, how.images), job.warn)
            for group in candidates.groups(base):
                known = redundancy.order(network, group, grams, bends)
                if known is not None:
                    found[group.name] = known
        return Orders(found)

    key = {**candidates.key(base), "recovery": asdict(how), "keep": pruning.keep}
    return candidates.record("order", key, Orders, find).order
