"""Where the search for the smallest file stands."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from hqp.compress.job import Job
from hqp.compress.search.bound import Bound, Drop
from hqp.compress.search.candidate import TRAINED, Candidate
from hqp.compress.search.candidates import Candidates
from hqp.records import (
    Accuracy,
    BesideDense,
    Budget,
    Calibrated,
    Certificate,
    Compared,
    Cost,
    Judge,
    Precisions,
    Ranking,
    Simplified,
    Tried,
)


@dataclass
class Draft:
    """What the steps of the pipeline have decided so far; what is made of it, ``candidates`` owns."""

    candidates: Candidates
    # The candidates after 0, 1, 2, ... pruning steps; after none the channels are all there.
    by_step: list[Candidate] = field(default_factory=list)
    # The blocks that may go, in the order in which they do.
    ranked_blocks: tuple[Simplified, ...] = ()
    # Along which ranking they lie, and what they must keep where they are judged in PyTorch.
    ranking: Ranking | None = None
    # Of several rankings, what the best was told by.
    compared: tuple[Compared, ...] = ()
    bound: Bound | None = None
    # How many steps the bound accepts in PyTorch, and how many are shipped.
    accepted: int = 0
    shipped: int = 0
    # What each candidate, in FP32, has of those images of ``selection`` on which it was judged in PyTorch.
    judged: dict[Candidate, Accuracy] = field(default_factory=dict)
    # The calibration that all files take, where it was chosen on one of them.
    settled: Calibrated | None = None
    # Which layers stay in float; none where the recipe does not ask.
    precisions: Precisions | None = None
    # How fast the dense network is beside the file; none where the recipe does not ask.
    dense: BesideDense | None = None
    # The accuracy of the module that is shipped, before it is quantised; none where nothing was pruned.
    pruned: Accuracy | None = None
    certificate: Certificate | None = None
    # How Δmax was spent; none where no step could lose any of it.
    budget: Budget | None = None
    # What the user should know of the file.
    notes: tuple[str, ...] = ()
    # What quantisation-aware training would take.
    qat: Cost | None = None
    # The candidates that were judged, in this order.
    tried: list[Tried] = field(default_factory=list)

    @property
    def job(self) -> Job:
        """What the engine is given."""
        return self.candidates.job

    @property
    def final(self) -> Candidate:
        """The candidate that is shipped."""
        return self.by_step[self.shipped]

    @property
    def base(self) -> Candidate:
        """What channels were taken from: the trained model, or what it is without some blocks."""
        return replace(TRAINED, replaced=self.by_step[-1].replaced)

    @property
    def file(self) -> Path:
        """The file that is shipped."""
        return self.candidates.file(self.final)

    @property
    def calibrated(self) -> Calibrated | None:
        """By which calibration the file that is shipped is quantised; ``None`` where it is not."""
        own = self.candidates.calibrated(self.final)
        if own is None or self.settled is None:
            return own
        return replace(own, divergences=self.settled.divergences, steps=self.settled.steps)

    @property
    def simplified(self) -> tuple[Simplified, ...]:
        """The blocks that became something simpler in what is shipped, in the order in which they did."""
        replaced = set(self.final.replaced)
        return tuple(one for one in self.ranked_blocks if one.block in replaced)

    @property
    def ships_dense(self) -> bool:
        """Whether the dense network is shipped since it is faster than what pruning found."""
        return self.dense is not None and self.dense.precision is not None and not self.shipped

    def holds(self, candidate: Candidate, of: Bound | None = None) -> bool:
        """Whether a candidate's module keeps a bound, by default the draft's, on ``selection``, judged in PyTorch."""
        kept = of or self.bound
        assert kept is not None
        judged = self.candidates.validated(candidate, kept)
        if judged is not None:
            self.judged[candidate.in_fp32] = judged
        held = judged is not None and kept.holds(judged)
        self.note("module", candidate, kept.drop(judged) if judged else None, held)
        return held

    def file_holds(self, candidate: Candidate) -> bool:
        """Whether a candidate's file keeps the bound on ``selection``, judged in the runtime.

        It is judged anew: what INT8 and the runtime lose is not seen in PyTorch.
        """
        recipe, trained = self.job.recipe, self.candidates.trained_on_selection
        in_runtime = Bound(trained, self.job.delta_max_pp, recipe.confidence)
        judged = self.candidates.on_selection(candidate)
        held = judged.correct >= in_runtime.floor and in_runtime.holds(judged)
        self.note("file", candidate, in_runtime.drop(judged), held)
        return held

    def note(self, judged: Judge, candidate: Candidate, drop: Drop | None, held: bool) -> None:
        """Keeps what was seen of a candidate, for whoever wants to know how the file was found."""
        removed = self.candidates.filters_removed(candidate)
        drop_pp, upper_pp = drop or (None, None)
        self.tried.append(Tried(judged, removed / self.job.filters, drop_pp, upper_pp, held))
