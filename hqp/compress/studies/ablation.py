"""What each criterion and each recovery is worth: one-shot pruning to given shares of the filters, judged in FP32."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from hqp.compress import pipeline
from hqp.compress.job import Job
from hqp.compress.network.accuracy import accuracy
from hqp.compress.search.candidate import Candidate
from hqp.compress.search.candidates import Candidates
from hqp.records import Accuracy, Ranking, Recovery, Samples

RECOVERIES: tuple[Recovery | None, ...] = (
    None,
    Recovery(("least_squares",)),
    Recovery(("relative",)),
    Recovery(("absolute",)),
    Recovery(("sequential",)),
    Recovery(),
)


@dataclass(frozen=True)
class Row:
    """The network without a share of its filters, ranked one way: its accuracy after each of ``RECOVERIES``."""

    ranking: Ranking
    sparsity: float
    accuracies: tuple[Accuracy, ...]


def ablate(job: Job, judged: Samples, shares: Sequence[float]) -> Iterator[Row]:
    """A row for each ranking of the job's recipe and each share of the filters, 0 to 1."""
    pruning = job.recipe.pruning
    assert pruning is not None
    candidates = Candidates(job)
    statistics = pipeline.collected(candidates)
    for ranking in pruning.rankings:
        by_step = pipeline.along(candidates, pruning, ranking, statistics)
        for share in shares:
            candidate = _first_without(candidates, by_step, share * job.filters)
            accuracies = tuple(
                _accuracy(candidates, replace(candidate, recovery=how if candidate.gone else None), judged)
                for how in RECOVERIES
            )
            yield Row(ranking, _sparsity(candidates, candidate), accuracies)


@dataclass(frozen=True)
class Counted:
    """The network without shares of its filters, ranked by so many images: θ and accuracy of each, and the seconds."""

    images: int
    seconds: float
    found: tuple[tuple[float, Accuracy], ...]


def ablate_images(job: Job, judged: Samples, shares: Sequence[float], counts: Sequence[int]) -> Iterator[Counted]:
    """What the number of images of the sensitivity pass is worth; the recipe of the job has one ranking."""
    pruning = job.recipe.pruning
    assert pruning is not None
    for count in counts:
        recipe = replace(job.recipe, pruning=replace(pruning, images=count))
        candidates = Candidates(replace(job, recipe=recipe))
        statistics = pipeline.collected(candidates)
        by_step = pipeline.along(candidates, pruning, pruning.rankings[0], statistics)
        (sensitivity,) = (cost for cost in candidates.ledger.costs if cost.step == "sensitivity")
        rows = []
        for share in shares:
            candidate = _first_without(candidates, by_step, share * job.filters)
            rows.append((_sparsity(candidates, candidate), _accuracy(candidates, candidate, judged)))
        yield Counted(count, sensitivity.seconds, tuple(rows))


def _first_without(candidates: Candidates, by_step: Sequence[Candidate], filters: float) -> Candidate:
    """The first candidate of which so many filters are gone, or the last there is."""
    reached = (one for one in by_step if candidates.filters_removed(one) >= filters)
    return next(reached, by_step[-1])


def _sparsity(candidates: Candidates, candidate: Candidate) -> float:
    return candidates.filters_removed(candidate) / candidates.job.filters


def _accuracy(candidates: Candidates, candidate: Candidate, judged: Samples) -> Accuracy:
    found = accuracy(candidates.module(candidate), judged, candidates.job.input_size)
    assert found is not None
    return found
