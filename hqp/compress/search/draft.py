"""Where the search for the smallest file stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from hqp.compress.job import Job
from hqp.compress.search.bound import Bound
from hqp.compress.search.candidate import Candidate
from hqp.compress.search.candidates import Candidates
from hqp.records import Accuracy, Certificate, Cost, Ranking


@dataclass
class Draft:
    """What the steps of the pipeline have decided so far; what is made of it, ``candidates`` owns."""

    candidates: Candidates
    # The candidates after 0, 1, 2, ... pruning steps; after none the channels are all there.
    by_step: list[Candidate] = field(default_factory=list)
    # Along which ranking they lie, and what they must keep, both judged in PyTorch.
    ranking: Ranking | None = None
    bound: Bound | None = None
    # How many steps the bound accepts in PyTorch, and how many are shipped.
    accepted: int = 0
    shipped: int = 0
    # The accuracy of the module that is shipped, before it is quantised; none where nothing was pruned.
    pruned: Accuracy | None = None
    certificate: Certificate | None = None
    # What the user should know of the file.
    notes: tuple[str, ...] = ()
    # What quantisation-aware training would take.
    qat: Cost | None = None

    @property
    def job(self) -> Job:
        """What the engine is given."""
        return self.candidates.job

    @property
    def final(self) -> Candidate:
        """The candidate that is shipped."""
        return self.by_step[self.shipped]

    @property
    def file(self) -> Path:
        """The file that is shipped."""
        return self.candidates.file(self.final)

    def holds(self, candidate: Candidate) -> bool:
        """Whether a candidate's module keeps the bound on ``selection``, judged in PyTorch."""
        assert self.bound is not None
        judged = self.candidates.validated(candidate, self.bound.floor)
        return judged is not None and self.bound.holds(judged)
