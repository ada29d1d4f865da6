"""What each criterion and each recovery is worth: one-shot pruning to given shares of the filters, judged in FP32."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from hqp.compress import candidates, groups, pipeline
from hqp.compress.evaluate import accuracy
from hqp.compress.job import Draft, Job, Removal
from hqp.records import Accuracy, Ranking, Recovery, Samples

RECOVERIES: tuple[Recovery | None, ...] = (
    None,
    Recovery(("least_squares",)),
    Recovery(("least_squares", "batch_norm")),
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
    draft = Draft(groups=groups.find_groups(job.model, job.example))
    pipeline.find_sensitivity(job, draft)
    collected = pipeline.collect(job, draft)
    total = sum(groups.filters(job.model).values())
    for ranking in pruning.rankings:
        removals = pipeline.removals(job, pruning, ranking, draft.groups, collected)
        sparsities = [groups.filters_removed(draft.groups, removal) / total for removal in removals]
        for share in shares:
            step = next((step for step, sparsity in enumerate(sparsities) if sparsity >= share), len(removals) - 1)
            found = tuple(_accuracy(job, draft, removals[step], how, judged) for how in RECOVERIES)
            yield Row(ranking, sparsities[step], found)


def _accuracy(job: Job, draft: Draft, removal: Removal, how: Recovery | None, judged: Samples) -> Accuracy:
    assert job.recipe.pruning is not None
    recipe = replace(job.recipe, pruning=replace(job.recipe.pruning, recovery=how))
    draft.latest = None  # it may have been recovered otherwise
    found = accuracy(candidates.module(replace(job, recipe=recipe), draft, removal), judged, job.input_size)
    assert found is not None
    return found
