"""Of what several rankings find within the bound, the candidate that is best by what the recipe is after."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hqp.compress.exporting import count
from hqp.compress.ranking import greedy, work
from hqp.compress.search.candidate import Candidate
from hqp.compress.search.candidates import Candidates
from hqp.ledger import Ledger
from hqp.records import Compared, Objective, Ranking
from hqp.store import sha256_of

# What a candidate has of something that is to be small.
Value = Callable[[Candidate], float]


@dataclass(frozen=True)
class Found:
    """What the search along a ranking found: its candidates, and how many steps of it the bound accepts."""

    ranking: Ranking
    by_step: list[Candidate]
    accepted: int

    @property
    def candidate(self) -> Candidate:
        """The candidate that the bound accepts."""
        return self.by_step[self.accepted]


@dataclass(frozen=True)
class Energy:
    """What one inference takes, in mJ."""

    mj: float


def estimate(candidates: Candidates) -> Value:
    """What can be told of a candidate before it is made: the fewer of it, the better; along a ranking it falls.

    Those are the filters where θ is the aim, the weights where bytes are, and else the multiply-adds.
    """
    job = candidates.job
    if job.recipe.objective == "sparsity":
        return lambda candidate: -candidates.filters_removed(candidate)
    measure = work.weights if job.recipe.objective == "bytes" else work.work

    @functools.cache
    def costs(base: Candidate) -> work.Work:
        return measure(candidates.base(base), job.example)

    def left(candidate: Candidate) -> float:
        found, base = candidates.groups(candidate), Candidate(replaced=candidate.replaced)
        of = costs(base)
        return greedy.taken(of, greedy.Remaining(found, of.sizes, candidate.removal).left)

    return left


def first_better(by_step: Sequence[Candidate], value: Value, best: Candidate | None) -> int:
    """The first step whose candidate is estimated better than another ranking's; 0 where there is none to beat."""
    if best is None:
        return 0
    to_beat = value(best)
    return next((step for step, one in enumerate(by_step) if value(one) < to_beat), len(by_step))


def decided_by(candidates: Candidates) -> Objective:
    """What tells the best from the others: multiply-adds where the aim is what cannot be measured here."""
    asked, job = candidates.job.recipe.objective, candidates.job
    measured = {"latency_ms": job.is_timed, "energy_mj": job.energy_mj is not None}
    return asked if measured.get(asked, True) else "macs"


def compared(candidates: Candidates, found: Sequence[Found]) -> tuple[Compared, ...]:
    """What each search's file has of what decides; nothing where there are not several to choose from."""
    reaching = [one for one in found if one.accepted]
    if len(reaching) < 2:
        return ()
    by = decided_by(candidates)
    values = _values(candidates, [one.candidate for one in reaching], by)
    return tuple(
        Compared(str(one.ranking), _sparsity(candidates, one.candidate), by, value, len(one.candidate.replaced))
        for one, value in zip(reaching, values, strict=True)
    )


def best(found: Sequence[Found], values: Sequence[Compared]) -> Found:
    """The one that is best by what was compared, of equally good ones the first."""
    if not values:
        reaching = [one for one in found if one.accepted]
        return (reaching or found)[0]
    # θ is to be large, all else small.
    sign = -1 if values[0].by == "sparsity" else 1
    reaching = [one for one in found if one.accepted]
    return reaching[min(range(len(values)), key=lambda place: sign * values[place].value)]


def _values(candidates: Candidates, those: Sequence[Candidate], by: Objective) -> list[float]:
    if by == "latency_ms":
        return list(candidates.latencies_ms(those))
    if by == "energy_mj":
        return [_energy_mj(candidates, one) for one in those]
    if by == "sparsity":
        return [_sparsity(candidates, one) for one in those]
    files = [candidates.file(one) for one in those]
    return [float(file.stat().st_size if by == "bytes" else count.macs(file)) for file in files]


def _energy_mj(candidates: Candidates, candidate: Candidate) -> float:
    """The energy of an inference of a candidate's file on the device, measured once."""
    job, file = candidates.job, candidates.file(candidate)

    def measured(ledger: Ledger) -> Energy:
        assert job.energy_mj is not None
        with ledger.step("energy") as tally:
            tally.passes = 1
            return Energy(job.energy_mj(file))

    key = {"file": sha256_of(file), "device": job.device}
    return candidates.record("energy", key, Energy, measured).mj


def _sparsity(candidates: Candidates, candidate: Candidate) -> float:
    return candidates.filters_removed(candidate) / candidates.job.filters
