"""Pruning in rounds with training between them, from where the search without training ended.

Each round stands on the model that the last one left: it ranks anew, removes, recovers, trains, and is judged. What it
trains is a function of the seed, and goes on where it was killed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import nn

from hqp import documents
from hqp.compress import training
from hqp.compress.channels import groups
from hqp.compress.job import Draft, Job, Removal, stopwatch
from hqp.compress.network import weights
from hqp.compress.ranking import collect, steps
from hqp.compress.ranking.collect import Sensitivities
from hqp.compress.search import candidates, channel_time, passes
from hqp.compress.search.recovery import recovered
from hqp.records import Cost, FineTuning, Recovery, Rounds, digest_of
from hqp.store import STATES


def deepen(job: Job, draft: Draft) -> None:
    """Goes on round by round until a round breaks the bound twice; each that holds is one more step of the draft."""
    pruning = job.recipe.pruning
    if pruning is None or pruning.rounds is None:
        return
    rounds = pruning.rounds
    draft.removals = draft.removals[: draft.accepted + 1]
    draft.ranking = draft.ranking or pruning.rankings[0]
    share, left = rounds.share, rounds.most
    while left != 0:
        left = None if left is None else left - 1
        held = _round(job, draft, rounds, share)
        if held:
            draft.accepted += 1
        elif held is None or share == rounds.retry:
            break
        else:
            share = rounds.retry


def _round(job: Job, draft: Draft, rounds: Rounds, share: float) -> bool | None:
    """Whether the next removal, trained, keeps the bound; ``None`` where there is nothing left to remove."""
    before = draft.removals[-1]
    base = groups.grown(job.model, candidates.module(job, draft, before), groups.removed(draft.groups, before))
    removal = _next(job, draft, base, share)
    if removal is None:
        return None
    draft.tuned.append((removal, _trained(job, draft, rounds.fine_tuning, base, removal)))
    held = passes.holds(job, draft, removal)
    if held:
        draft.removals.append(removal)
    else:
        draft.tuned.pop()
    return held


def _next(job: Job, draft: Draft, base: nn.Module, share: float) -> Removal | None:
    """The channels that are gone after the next round, by a ranking of those that are left."""
    before, ranking = draft.removals[-1], draft.ranking
    assert ranking is not None
    measured = _measured(job, draft) if "sensitivity" in job.needs else None
    collected = collect.collect(base, job.example, measured, channel_time.channel_us(job, draft))
    smaller = collect.collect(candidates.module(job, draft, before), job.example)
    collected = replace(collected, filter_macs=smaller.filter_macs, input_macs=smaller.input_macs)
    scores = {group.name: job.scores[ranking](group, collected) for group in draft.groups}
    filters = max(1, round(share * job.filters))
    ranked = steps.ranked(draft.groups, scores)
    return next(iter(steps.steps(draft.groups, ranked, filters, job.policy.channel_multiple, before)), None)


def _measured(job: Job, draft: Draft) -> Sensitivities:
    """The sensitivities of what is left; those of filters that are gone are 0."""
    before = draft.removals[-1]
    if not before and draft.measured:
        return draft.measured
    model, key = candidates.module(job, draft, before), candidates.key(job, draft, before)
    found = passes.measured(job, draft, model, key)
    gone = groups.removed(draft.groups, before)
    return Sensitivities(
        **{name: groups.spread(values, gone, groups.sizes(job.model)) for name, values in vars(found).items()}
    )


def _trained(job: Job, draft: Draft, how: FineTuning, base: nn.Module, removal: Removal) -> Path:
    """The file with the weights of the model without these channels, recovered and trained."""
    key = _key(job, draft, how, removal)
    state = job.store.root / STATES / f"{digest_of(key)[:24]}.pt"

    def build(folder: Path) -> None:
        smaller, how_recovered = groups.remove(base, removal, draft.groups), _recovery(job)
        if how_recovered is not None:
            smaller = recovered(job, draft, base, removal, how_recovered).model
        images, cost = _images(job), stopwatch("training")
        with job.track("training", how.epochs * len(images)) as advance:
            seen = 0

            def count(step: training.Step) -> None:
                nonlocal seen
                done = ((step.epoch - 1) * step.steps + step.step) * recipe.batch
                advance(done - seen)
                seen = done

            recipe = _recipe(job, how)
            device = training.device()
            smaller.to(device)
            teacher = training.Teacher(job.model.to(device), how.teacher) if how.teacher else None
            seconds = training.fit(
                smaller, images, recipe, seed=job.seed, state=state, on_step=count, teacher=teacher, say=job.warn
            )
            job.model.cpu()
        weights.write(folder / candidates.WEIGHTS, smaller.state_dict())
        spent = replace(cost(how.epochs * len(images), how.epochs), seconds=round(seconds, 3))
        documents.write(folder / candidates.COST, spent)

    place = job.store.make("tuned", key, build)
    state.unlink(missing_ok=True)
    draft.spend(job.store.read(place / candidates.COST, Cost))
    return place / candidates.WEIGHTS


def _key(job: Job, draft: Draft, how: FineTuning, removal: Removal) -> Mapping[str, Any]:
    before, recovery = candidates.key(job, draft, draft.removals[-1]), _recovery(job)
    return {
        "before": before,
        "removal": candidates.listed(removal),
        "recovery": asdict(recovery) if recovery else None,
        "teacher": how.teacher,
        "recipe": asdict(_recipe(job, how)),
        "train": job.train().digest,
        "seed": job.seed,
    }


def _recovery(job: Job) -> Recovery | None:
    return job.recipe.pruning.recovery if job.recipe.pruning else None


def _recipe(job: Job, how: FineTuning) -> training.TrainingRecipe:
    """How the model itself is trained, at a share of its learning rate; in float32, which every processor computes."""
    return replace(
        job.training,
        phases=((job.input_size, how.epochs),),
        learning_rate=how.learning_rate * job.training.learning_rate,
        precision="float32",
    )


def _images(job: Job) -> training.Images:
    samples = job.train()
    return training.Images(
        lambda indices: samples.read(indices, job.input_size),
        samples.labels,
        samples.mean,
        samples.std,
        f"{samples.digest}-{job.input_size}",
    )
