"""The steps that turn a trained model into an artefact.

Each step keeps what it made in the store, so that a killed run goes on where it stopped, and methods that share a step
(the sensitivity pass, a validation pass of the same pruned model) share its result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from math import sqrt
from pathlib import Path

import torch
from torch import Tensor

from hqp.compress import bound, candidates, groups, prune, sensitivity, statistics, targets
from hqp.compress.certify import certify
from hqp.compress.evaluate import accuracy
from hqp.compress.job import Draft, Job, Removal, calibration, stopwatch
from hqp.compress.ledger import estimate_training
from hqp.errors import HqpError
from hqp.records import Accuracy, Cost, Group, Pruning, Ranking, Statistics
from hqp.stats.paired import drop_pp

# So far above chance, in standard deviations, a model that knows its classes lies.
CHANCE_DEVIATIONS = 3


@dataclass(frozen=True)
class Pass:
    """One validation pass of a pruned model; no accuracy where the bound was certain to break before its end."""

    accuracy: Accuracy | None
    costs: tuple[Cost, ...]


def run(job: Job) -> Draft:
    """The finished draft of a job: its file, and all that the sidecar says of it."""
    draft = Draft()
    for step in STEPS:
        step(job, draft)
    return draft


def judge_dense(job: Job, draft: Draft) -> None:
    """The trained model as it is: exported and judged before minutes are spent on it."""
    _warn_of_few_images(job)
    draft.dense_file = candidates.exported(job, draft, {})
    draft.baseline = job.evaluate(draft.dense_file)
    classes = job.selection.classes
    chance = 1 / len(classes)
    if draft.baseline.top1 <= chance + CHANCE_DEVIATIONS * sqrt(chance * (1 - chance) / draft.baseline.total):
        job.warn(
            f"warning: top-1 of the trained model is {draft.baseline.top1:.1%}, as by chance; do its outputs follow the"
            f" order of the dataset's classes ({', '.join(classes[:3])}, …)?"
        )


def _warn_of_few_images(job: Job) -> None:
    """Tells what asks for more calibration images than there are."""
    recovery = job.recipe.pruning.recovery if job.recipe.pruning else None
    for what, asked in (("recovery", recovery), ("quantisation", job.recipe.quantization)):
        if asked and asked.images > len(job.calibration):
            job.warn(f"warning: {what} asks for {asked.images} images, 'calibration' has {len(job.calibration)}")


def find_sensitivity(job: Job, draft: Draft) -> None:
    """One pass over ``calibration`` gives the sensitivities of every filter, where a criterion asks for one."""
    if not job.needs_sensitivity:
        return

    def build(folder: Path) -> None:
        from safetensors.torch import save_file

        from hqp import documents

        cost = stopwatch("sensitivity")
        with job.track("sensitivity", len(job.calibration)) as advance:
            measured = sensitivity.sensitivities(job.model, _labelled(job, advance))
        for name, values in vars(measured).items():
            save_file({layer: one.contiguous() for layer, one in values.items()}, folder / f"{name}.safetensors")
        documents.write(folder / "cost.json", cost(len(job.calibration), 1))

    from safetensors.torch import load_file

    from hqp import documents

    place = job.store.make("sensitivity", job.key, build)
    names = [one.name for one in fields(statistics.Sensitivities)]
    draft.measured = statistics.Sensitivities(**{name: load_file(place / f"{name}.safetensors") for name in names})
    draft.spend(documents.read(place / "cost.json", Cost, fix=f"rm -r {place}"))


def _labelled(job: Job, advance: Callable[[int], None]) -> Iterator[tuple[Tensor, Tensor]]:
    for indices, images in calibration(job, len(job.calibration)):
        yield torch.from_numpy(images), torch.from_numpy(job.calibration.labels[indices.start : indices.stop])
        advance(len(indices))


def prune_under_bound(job: Job, draft: Draft) -> None:
    """Algorithm 1 along each ranking of the recipe; the one that removes most filters is kept."""
    pruning = job.recipe.pruning
    if pruning is None:
        return
    dense = _validate(job, draft, {})
    if dense.accuracy is None:
        raise HqpError("the dense model was not judged to its end")
    draft.spend(*dense.costs)
    draft.groups = groups.without(groups.find_groups(job.model, job.example), pruning.keep, job.model)
    collected = statistics.collect(job.model, job.example, draft.measured)
    if pruning.recovery and "least_squares" in pruning.recovery.how:
        candidates.grams(job, draft, pruning.recovery)
    draft.dense, counts = dense.accuracy, (dense.accuracy.correct, dense.accuracy.total)
    draft.floor = bound.floor_correct(*counts, job.delta_max_pp, pruning.confidence)
    removed = -1
    for ranking in pruning.rankings:
        by_step = removals(job, pruning, ranking, draft.groups, collected)
        accepted = _search(job, draft, pruning, by_step)
        filters = groups.filters_removed(draft.groups, by_step[accepted])
        if filters > removed:
            removed, draft.ranking, draft.removals, draft.accepted = filters, ranking, by_step, accepted


def removals(
    job: Job, pruning: Pruning, ranking: Ranking, found: tuple[Group, ...], collected: Statistics
) -> list[Removal]:
    """The channels gone after 0, 1, 2, ... pruning steps along a ranking."""
    scores = {group.name: job.scores[ranking](group, collected) for group in found}
    step_filters = max(1, round(pruning.step_fraction * sum(groups.filters(job.model).values())))
    return [{}, *prune.steps(found, prune.ranked(found, scores), step_filters, job.policy.channel_multiple)]


def _search(job: Job, draft: Draft, pruning: Pruning, removals: list[Removal]) -> int:
    def holds(step: int) -> bool:
        judged = _validate(job, draft, removals[step])
        draft.spend(*judged.costs)
        return judged.accuracy is not None and _within(job, draft.dense, judged.accuracy)

    return bound.search(holds, len(removals) - 1, pruning.search, beat=draft.accepted)


def _within(job: Job, reference: Accuracy | None, candidate: Accuracy) -> bool:
    """Whether the upper limit of the drop is within Δmax; without a confidence the floor has said all there is."""
    pruning = job.recipe.pruning
    assert reference is not None and pruning is not None
    if pruning.confidence is None:
        return True
    drop = drop_pp(reference.correct_images, candidate.correct_images, pruning.confidence)
    return drop.upper <= job.delta_max_pp


def _validate(job: Job, draft: Draft, removal: Removal) -> Pass:
    """One pass over ``selection``, stopped as soon as the bound is certain to break."""
    samples, floor = job.selection, draft.floor

    def judge() -> Pass:
        recovering, how = stopwatch("recovery"), candidates.recovery(job, removal)
        smaller = candidates.module(job, draft, removal)
        recovered = recovering(min(how.images, len(job.calibration)), 1) if how else None
        cost, seen = stopwatch("validation"), 0
        with job.track("validation", len(samples)) as advance:

            def count(images: int) -> None:
                nonlocal seen
                seen += images
                advance(images)

            judged = accuracy(smaller, samples, job.input_size, floor_correct=floor, advance=count)
        return Pass(judged, (*([recovered] if recovered else []), cost(seen, 1)))

    return job.store.record("validation", {**candidates.key(job, removal), "floor": floor}, Pass, judge)


def give_back(job: Job, draft: Draft) -> None:
    """Judges the exported file, and where the recipe says so gives pruning steps back until the bound holds."""

    def holds(step: int) -> bool:
        return _within(job, draft.baseline, job.evaluate(candidates.file(job, draft, step)))

    draft.shipped = bound.give_back(holds, draft.accepted) if job.recipe.give_back else draft.accepted
    draft.shipped = targets.stop(job, draft, holds)


def ship(job: Job, draft: Draft) -> None:
    """The file that is shipped, judged on ``selection``."""
    draft.compressed = job.evaluate(candidates.file(job, draft, draft.shipped))
    if draft.shipped:
        draft.pruned = _validate(job, draft, draft.removals[draft.shipped]).accuracy


STEPS: tuple[Callable[[Job, Draft], None], ...] = (
    judge_dense,
    find_sensitivity,
    prune_under_bound,
    give_back,
    certify,
    ship,
    estimate_training,
)
