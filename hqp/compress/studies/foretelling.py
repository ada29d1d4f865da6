"""How well the model of latency foretells: against networks of other random widths than it was fitted to."""

from __future__ import annotations

from dataclasses import dataclass

from scipy.stats import spearmanr

from hqp.compress.job import Job
from hqp.compress.ranking import greedy
from hqp.compress.search import latency_model
from hqp.compress.search.candidates import Candidates

# Another draw than that of the networks that are fitted.
SEED = 1


@dataclass(frozen=True)
class Foretelling:
    """What the layers of some networks take by the model, and what the networks took."""

    foretold_us: tuple[float, ...]
    measured_us: tuple[float, ...]
    # How many channels the model says that kernels take at once, and its mean relative error where it was fitted.
    block: int
    error: float

    @property
    def rank_correlation(self) -> float:
        """How alike the two orders are: 1 where they are the same."""
        return float(spearmanr(self.foretold_us, self.measured_us).statistic)


def foretell(job: Job, networks: int) -> Foretelling:
    """So many networks, without random shares of each group's channels, foretold and timed."""
    candidates = Candidates(job)
    model = latency_model.fitted(candidates)
    times = latency_model.times(candidates)
    removals = latency_model.random_removals(candidates.groups(), networks, SEED)
    left = [greedy.Remaining(candidates.groups(), times.sizes, removal).left for removal in removals]
    foretold = tuple(greedy.taken(times, sizes) for sizes in left)
    measured = tuple(1e3 * ms for ms in latency_model.timed(candidates, removals))
    return Foretelling(foretold, measured, model.block, model.error)
