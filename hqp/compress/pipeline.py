"""The steps that turn a trained model into an artefact.

What they make is kept in the store, so that a killed run goes on where it stopped, and methods that share a step (the
sensitivity pass, a validation pass of the same pruned model) share its result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import sqrt

from hqp import onnx_rules
from hqp.compress.job import Job
from hqp.compress.network.layers import layers
from hqp.compress.quantisation import precision
from hqp.compress.ranking import collect
from hqp.compress.search import bound, objective, order, redundant, simplify, targets
from hqp.compress.search.bound import LOOKS, Bound
from hqp.compress.search.candidate import TRAINED, Candidate
from hqp.compress.search.candidates import Candidates
from hqp.compress.search.certify import SEARCHED_WITHIN, certify
from hqp.compress.search.dense import compare_with_dense
from hqp.compress.search.draft import Draft
from hqp.compress.search.explain import explain
from hqp.compress.search.objective import Found
from hqp.compress.search.precisions import choose_precisions
from hqp.compress.search.qat_cost import estimate_training
from hqp.compress.search.rounds import deepen
from hqp.compress.search.settling import settle
from hqp.compress.search.spending import spend
from hqp.records import Accuracy, Pruning, Ranking, Statistics

# So far above chance, in standard deviations, a model that knows its classes lies.
CHANCE_DEVIATIONS = 3


def run(job: Job, begin: Callable[[str], object] = str) -> Draft:
    """The finished draft of a job: its file, and all that the sidecar says of it.

    ``begin`` is told the name of each step before it runs.
    """
    candidates = Candidates(job)
    draft = Draft(candidates, [candidates.without({})])
    for step in STEPS:
        begin(step.__name__)
        step(draft)
    return draft


def judge_dense(draft: Draft) -> None:
    """The trained model as it is: exported and judged before minutes are spent on it."""
    job = draft.job
    _warn_of_few_images(job)
    _require_known_layers(draft)
    trained = draft.candidates.trained_on_selection
    job.told(trained)
    _warn_of_chance(job, trained)


def _require_known_layers(draft: Draft) -> None:
    """Sees, before minutes are spent, that no layer of a policy is misspelt."""
    job = draft.job
    if job.recipe.pruning:
        precision.require_known(job.recipe.pruning.at_most, layers(job.model))
    if job.recipe.quantization:
        graph = onnx_rules.read(draft.candidates.fp32(TRAINED)).graph
        precision.require_known(job.policy.layers, precision.layers_of(graph).values())


def _warn_of_chance(job: Job, trained: Accuracy) -> None:
    """Tells where the trained model is right no more often than one that guesses."""
    classes = job.selection.classes
    chance = 1 / len(classes)
    deviation = sqrt(chance * (1 - chance) / trained.total)
    if trained.top1 <= chance + CHANCE_DEVIATIONS * deviation:
        job.warn(
            f"warning: top-1 of the trained model is {trained.top1:.1%}, as by chance; do its outputs follow the"
            f" order of the dataset's classes ({', '.join(classes[:3])}, …)?"
        )


def _warn_of_few_images(job: Job) -> None:
    """Tells what asks for more calibration images than there are, and where those it sees are of few classes."""
    pruning = job.recipe.pruning
    asking = {
        "sensitivity": pruning,
        "recovery": pruning.recovery if pruning else None,
        "quantisation": job.recipe.quantization,
    }
    for what, how in asking.items():
        if how is not None and how.images is not None:
            _warn_of_few(job, what, how.images)


def _warn_of_few(job: Job, what: str, asked: int) -> None:
    labels, classes = job.calibration.labels, job.calibration.classes
    if asked > len(job.calibration):
        origin = f" ({job.calibration.origin})" if job.calibration.origin else ""
        job.warn(f"warning: {what} asks for {asked} images, 'calibration' has {len(job.calibration)}{origin}")
    known = len(set(labels[:asked].tolist()))
    # Drawn at random, they would be of more than half of the classes, or of the images where these are fewer.
    if 2 * known < min(len(classes), asked):
        first = f"the first {asked} images of 'calibration'"
        job.warn(f"warning: {what} takes {first}, which are of {known} of {len(classes)} classes")


def prune_under_bound(draft: Draft) -> None:
    """Algorithm 1 along each ranking of the recipe; what is best by its objective is kept."""
    candidates, job = draft.candidates, draft.job
    pruning = job.recipe.pruning
    if pruning is None:
        return
    # A network that cannot be pruned at all is told so before it is asked for more images.
    candidates.groups()
    estimate = objective.estimate(candidates)
    # As the file is in the runtime, where an image or two may be judged otherwise than in PyTorch.
    draft.bound = Bound(candidates.trained_on_selection, job.delta_max_pp, job.recipe.confidence, LOOKS)
    simplified = simplify.path(draft)
    found = _searched(draft, pruning, simplified, estimate, []) if simplified else []
    # Behind blocks that hold the bound as a rule more is found than without: that is searched where no channel can go.
    if not any(one.accepted >= len(simplified) for one in found):
        found += _searched(draft, pruning, [candidates.without({})], estimate, found)
    draft.compared = objective.compared(candidates, found)
    chosen = objective.best(found, draft.compared)
    draft.ranking, draft.by_step, draft.accepted = chosen.ranking, chosen.by_step, chosen.accepted


def _searched(
    draft: Draft, pruning: Pruning, path: list[Candidate], estimate: objective.Value, before: list[Found]
) -> list[Found]:
    """What each ranking finds from the end of a path on, on which no channel has gone, beside what was found before."""
    candidates, base = draft.candidates, path[-1]
    statistics = collected(candidates, base)
    found: list[Found] = []
    for ranking in pruning.rankings:
        by_step = [*path, *along(candidates, pruning, ranking, statistics, base)[1:]]
        least = objective.first_better(by_step, estimate, _best_so_far([*before, *found], estimate))
        found.append(Found(ranking, by_step, _accepted(draft, by_step, pruning, least)))
    return found


def _best_so_far(found: list[Found], estimate: objective.Value) -> Candidate | None:
    """Of what rankings found before, the candidate that is estimated best."""
    reaching = [one.candidate for one in found if one.accepted]
    return min(reaching, key=estimate, default=None)


def _accepted(draft: Draft, by_step: list[Candidate], pruning: Pruning, least: int) -> int:
    """After how many steps the bound still holds, or 0 where another ranking's candidate is better already."""

    def holds(step: int) -> bool:
        return draft.holds(by_step[step])

    finest = 0.0 if draft.job.recipe.alpha is None else SEARCHED_WITHIN
    return bound.search(holds, len(by_step) - 1, pruning.search, least, finest)


def collected(candidates: Candidates, base: Candidate = TRAINED) -> Statistics:
    """What the criteria of the recipe score a base by, which has all its channels."""
    job = candidates.job
    measured = candidates.sensitivities(base) if "sensitivity" in job.needs else None
    statistics = collect.collect(candidates.base(base), measured)
    if "redundancy" in job.needs:
        statistics = replace(statistics, order=redundant.order(candidates, base))
    return statistics


def along(
    candidates: Candidates, pruning: Pruning, ranking: Ranking, statistics: Statistics, base: Candidate = TRAINED
) -> list[Candidate]:
    """The candidates after 0, 1, 2, ... pruning steps along a ranking from a base on, which has all its channels."""
    removals = order.removals(candidates, pruning, ranking, statistics, base)
    return [candidates.without(removal, replaced=base.replaced) for removal in ({}, *removals)]


def give_back(draft: Draft) -> None:
    """Judges the exported file, and where the recipe says so gives pruning steps back until the bound holds."""
    settle(draft)

    def holds(step: int) -> bool:
        return draft.file_holds(draft.by_step[step])

    draft.shipped = bound.give_back(holds, draft.accepted) if draft.job.recipe.give_back else draft.accepted
    draft.shipped = targets.stop(draft, holds)


def ship(draft: Draft) -> None:
    """The file that is shipped, judged on ``selection`` and by the targets."""
    candidates, final = draft.candidates, draft.final
    targets.tell(draft)
    candidates.on_selection(final)
    if draft.shipped:
        judged = draft.judged.get(final.in_fp32)
        # A pass of the search may have ended early.
        is_whole = judged is not None and judged.total == candidates.trained_on_selection.total
        draft.pruned = judged if is_whole else candidates.validated(final)


STEPS: tuple[Callable[[Draft], None], ...] = (
    judge_dense,
    prune_under_bound,
    deepen,
    choose_precisions,
    give_back,
    compare_with_dense,
    certify,
    ship,
    spend,
    explain,
    estimate_training,
)
