"""What each criterion and each recovery is worth: one-shot pruning to given shares of the filters, judged in FP32."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from hqp.compress import pipeline
from hqp.compress.channels import finding, groups
from hqp.compress.job import Draft, Job, Removal
from hqp.compress.network.accuracy import accuracy
from hqp.compress.search import candidates
from hqp.records import Accuracy, Ranking, Recovery, Samples

RECOVERIES: tuple[Recovery | None, ...] = (
    None,
    Recovery(("least_squares",)),
    Recovery(("relative",)),
    Recovery(("absolute",)),
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
    draft = Draft(groups=finding.find_groups(job.model, job.example))
    pipeline.find_sensitivity(job, draft)
    collected = pipeline.collected(job, draft)
    total = job.filters
    for ranking in pruning.rankings:
        removals = pipeline.removals(job, pruning, ranking, draft.groups, collected)
        for share in shares:
            removal = removals[_step(draft, removals, share * total)]
            found = tuple(_accuracy(job, draft, removal, how, judged) for how in RECOVERIES)
            yield Row(ranking, groups.filters_removed(draft.groups, removal) / total, found)


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
    found, total = finding.find_groups(job.model, job.example), job.filters
    for count in counts:
        recipe = replace(job.recipe, pruning=replace(pruning, images=count))
        draft, counted = Draft(groups=found), replace(job, recipe=recipe)
        pipeline.find_sensitivity(counted, draft)
        removals = pipeline.removals(job, pruning, pruning.rankings[0], found, pipeline.collected(counted, draft))
        rows = []
        for share in shares:
            removal = removals[_step(draft, removals, share * total)]
            top = accuracy(candidates.module(counted, draft, removal), judged, job.input_size)
            assert top is not None
            rows.append((groups.filters_removed(found, removal) / total, top))
        yield Counted(count, draft.costs["sensitivity"].seconds, tuple(rows))


def _step(draft: Draft, removals: Sequence[Removal], filters: float) -> int:
    """The first step after which so many filters are gone, or the last."""
    reached = (step for step, one in enumerate(removals) if groups.filters_removed(draft.groups, one) >= filters)
    return next(reached, len(removals) - 1)


def _accuracy(job: Job, draft: Draft, removal: Removal, how: Recovery | None, judged: Samples) -> Accuracy:
    assert job.recipe.pruning is not None
    recipe = replace(job.recipe, pruning=replace(job.recipe.pruning, recovery=how))
    draft.latest = draft.shown = None  # it may have been recovered otherwise, by less
    found = accuracy(candidates.module(replace(job, recipe=recipe), draft, removal), judged, job.input_size)
    assert found is not None
    return found
