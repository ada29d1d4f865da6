"""The steps that turn a trained model into an artefact.

Each step keeps what it made in the store, so that a killed run goes on where it stopped, and methods that share a step
(the sensitivity pass, a validation pass of the same pruned model) share its result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import sqrt

from hqp.compress.channels import finding, groups
from hqp.compress.job import Draft, Job, Removal
from hqp.compress.ranking import collect, steps
from hqp.compress.search import bound, candidates, channel_time, passes, targets
from hqp.compress.search.certify import certify
from hqp.compress.search.explain import explain
from hqp.compress.search.qat_cost import estimate_training
from hqp.compress.search.recovery import shown
from hqp.compress.search.rounds import deepen
from hqp.errors import HqpError
from hqp.records import Group, Pruning, Ranking, Statistics

# So far above chance, in standard deviations, a model that knows its classes lies.
CHANCE_DEVIATIONS = 3


def run(job: Job, begin: Callable[[str], object] = str) -> Draft:
    """The finished draft of a job: its file, and all that the sidecar says of it.

    ``begin`` is told the name of each step before it runs.
    """
    draft = Draft()
    for step in STEPS:
        begin(step.__name__)
        step(job, draft)
    return draft


def judge_dense(job: Job, draft: Draft) -> None:
    """The trained model as it is: exported and judged before minutes are spent on it."""
    _warn_of_few_images(job)
    draft.dense_file = candidates.exported(job, draft, {})
    draft.baseline = job.evaluate(draft.dense_file).accuracy
    job.told(draft.baseline)
    classes = job.selection.classes
    chance = 1 / len(classes)
    if draft.baseline.top1 <= chance + CHANCE_DEVIATIONS * sqrt(chance * (1 - chance) / draft.baseline.total):
        job.warn(
            f"warning: top-1 of the trained model is {draft.baseline.top1:.1%}, as by chance; do its outputs follow the"
            f" order of the dataset's classes ({', '.join(classes[:3])}, …)?"
        )


def _warn_of_few_images(job: Job) -> None:
    """Tells what asks for more calibration images than there are, and where those it takes are of few classes."""
    labels, classes = job.calibration.labels, job.calibration.classes
    pruning = job.recipe.pruning
    steps = {"sensitivity": pruning, "recovery": pruning and pruning.recovery, "quantisation": job.recipe.quantization}
    for what, step in steps.items():
        asked = step.images if step else None
        if asked is None:
            continue
        if asked > len(job.calibration):
            origin = f" ({job.calibration.origin})" if job.calibration.origin else ""
            job.warn(f"warning: {what} asks for {asked} images, 'calibration' has {len(job.calibration)}{origin}")
        known = len(set(labels[:asked].tolist()))
        if 2 * known < min(len(classes), asked):
            taken = f"the first {asked} images of 'calibration'"
            job.warn(f"warning: {what} takes {taken}, which are of {known} of {len(classes)} classes")


def find_sensitivity(job: Job, draft: Draft) -> None:
    """One pass over images of ``calibration`` gives every filter's sensitivities, where a criterion asks for them."""
    if "sensitivity" not in job.needs:
        return
    draft.measured = passes.measured(job, draft, job.model, job.key)


def prune_under_bound(job: Job, draft: Draft) -> None:
    """Algorithm 1 along each ranking of the recipe; the one that removes most filters is kept."""
    pruning = job.recipe.pruning
    if pruning is None:
        return
    dense = passes.validated(job, draft, {})
    if dense.accuracy is None:
        raise HqpError("the dense model was not judged to its end")
    draft.spend(*dense.costs)
    held: list[str] = []
    found = finding.find_groups(job.model, job.example, held.append)
    draft.held = tuple(held)
    draft.removable = groups.filters_of(found)
    draft.inner_filters = groups.filters_of(groups.inner(found))
    draft.groups = groups.without(found, pruning.keep, job.model)
    statistics = collected(job, draft)
    if pruning.recovery:
        shown(job, draft, pruning.recovery)
    draft.dense, counts = dense.accuracy, (dense.accuracy.correct, dense.accuracy.total)
    draft.floor = bound.floor_correct(*counts, job.delta_max_pp, pruning.confidence)
    removed = -1
    for ranking in pruning.rankings:
        by_step = removals(job, pruning, ranking, draft.groups, statistics)
        last, asked = len(by_step) - 1, partial(_holds, job, draft, by_step)
        accepted = bound.search(asked, last, pruning.search, beat=draft.accepted)
        filters = groups.filters_removed(draft.groups, by_step[accepted])
        if filters > removed:
            removed, draft.ranking, draft.removals, draft.accepted = filters, ranking, by_step, accepted


def collected(job: Job, draft: Draft) -> Statistics:
    """What the criteria of the recipe score the trained model by."""
    return collect.collect(job.model, job.example, draft.measured, channel_time.channel_us(job, draft))


def removals(
    job: Job, pruning: Pruning, ranking: Ranking, found: tuple[Group, ...], collected: Statistics
) -> list[Removal]:
    """The channels gone after 0, 1, 2, ... pruning steps along a ranking."""
    scores = {group.name: job.scores[ranking](group, collected) for group in found}
    step_filters = max(1, round(pruning.step_fraction * job.filters))
    return [{}, *steps.steps(found, steps.ranked(found, scores), step_filters, job.policy.channel_multiple)]


def _holds(job: Job, draft: Draft, removals: Sequence[Removal], step: int) -> bool:
    return passes.holds(job, draft, removals[step])


def give_back(job: Job, draft: Draft) -> None:
    """Judges the exported file, and where the recipe says so gives pruning steps back until the bound holds."""

    def holds(step: int) -> bool:
        return passes.within(job, draft.baseline, passes.verified(job, draft, step))

    draft.shipped = bound.give_back(holds, draft.accepted) if job.recipe.give_back else draft.accepted
    draft.shipped = targets.stop(job, draft, holds)


def ship(job: Job, draft: Draft) -> None:
    """The file that is shipped, judged on ``selection`` and by the targets."""
    targets.tell(job, draft)
    draft.compressed = passes.verified(job, draft, draft.shipped)
    if draft.shipped:
        removal = draft.removals[draft.shipped]
        draft.recovered = candidates.made(job, draft, removal)[0].recovered
        judged = passes.validated(job, draft, removal, draft.floor)
        if judged.accuracy is None:  # beyond what `selection` accepts a pass ends early
            judged = passes.validated(job, draft, removal)
        draft.pruned = judged.accuracy


STEPS: tuple[Callable[[Job, Draft], None], ...] = (
    judge_dense,
    find_sensitivity,
    prune_under_bound,
    deepen,
    give_back,
    certify,
    ship,
    explain,
    estimate_training,
)
