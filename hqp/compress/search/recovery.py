"""A candidate's recovery: of the variants that its recipe allows, the one that stays nearest to the trained network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from hqp import documents
from hqp.compress.channels import groups, recover
from hqp.compress.channels.recover import Moments, Shown
from hqp.compress.job import Draft, Job, Made, Removal, calibration, stopwatch, taken
from hqp.compress.network import layout, tensors
from hqp.compress.network.batches import Parts
from hqp.compress.quantisation.int8 import divergence
from hqp.records import Cost, Recovered, Recovery, Variant

Result = TypeVar("Result")

SHOWN, COST = "shown.safetensors", "cost.json"

# A variant is a module and the moments that its batch norms are to have; two may share a module.
Variants = dict[Variant, tuple[nn.Module, Moments]]


class Passes:
    """Passes over images of ``calibration``, which it counts; batches that memory does not hold are halved."""

    def __init__(self, job: Job) -> None:
        self.job, self.images, self.passes = job, 0, 0
        self._order, self._parts = torch.contiguous_format, Parts(job.warn)

    def lay_out(self, model: nn.Module) -> nn.Module:
        """The network, its weights laid out as the images are from now on."""
        self._order = layout.fitted(model, self.job.example)
        return model

    def over(self, count: int, work: Callable[[Iterator[Tensor]], Result]) -> Result:
        """What ``work`` gives for one pass: batches of float32 (n, 3, size, size)."""
        self.passes += 1
        self.images += taken(self.job, count)
        return self._parts.anew(lambda: self._batches(count), work)

    def _batches(self, count: int) -> Iterator[Tensor]:
        for _, images in calibration(self.job, count):
            yield torch.from_numpy(images).contiguous(memory_format=self._order)


def recovered(job: Job, draft: Draft, model: nn.Module, removal: Removal, how: Recovery) -> Made:
    """A model of the trained one's shape without these channels, and what recovery makes of it."""
    whole = shown(job, draft, how) if model is job.model else _measured(draft, model, how, Passes(job))
    cost, passes = stopwatch("recovery"), Passes(job)
    with job.track("recovery", 0):
        variants = _variants(draft, model, removal, how, whole, passes)
        divergences: dict[Variant, float] = {}
        if len(variants) > 1:
            for name, (smaller, moments) in variants.items():
                recover.normalise_by(smaller, moments)
                divergences[name] = divergence(whole.logits.numpy(), _logits(smaller, how, passes).numpy())
        nearest = min(variants, key=lambda name: divergences.get(name, 0.0))
        smaller, moments = variants[nearest]
        recover.normalise_by(smaller, moments)
    return Made(removal, smaller, Recovered(nearest, divergences), cost(passes.images, passes.passes))


def _variants(
    draft: Draft, model: nn.Module, removal: Removal, how: Recovery, whole: Shown, passes: Passes
) -> Variants:
    """The model without these channels by each variant that the recipe allows; without batch norms these are fewer."""
    gone = groups.removed(draft.groups, removal)

    def smaller() -> nn.Module:
        return passes.lay_out(groups.remove(model, removal, draft.groups))

    found: Variants = {}
    if "none" in how.variants:
        plain = smaller()
        found["none"] = plain, recover.own_moments(plain)
    fitted = smaller()
    recover.refit(model, fitted, gone, whole.grams)
    found["least_squares"] = fitted, recover.own_moments(fitted)
    if whole.moments:
        seen = passes.over(how.images, partial(recover.moments, fitted))
        if seen:
            found["relative"] = fitted, recover.moved(fitted, whole.moments, seen, gone)
            found["absolute"] = fitted, seen
    allowed: Variants = {name: found[name] for name in how.variants if name in found}
    return allowed or {"least_squares": found["least_squares"]}


def shown(job: Job, draft: Draft, how: Recovery) -> Shown:
    """What the trained network shows on calibration images: measured once, kept in the store."""
    if draft.shown is not None:
        return draft.shown

    def build(folder: Path) -> None:
        cost, passes = stopwatch("recovery"), Passes(job)
        found = _measured(draft, job.model, how, passes)
        tensors.save(recover.packed(found), folder / SHOWN)
        documents.write(folder / COST, cost(passes.images, passes.passes))

    from safetensors.torch import load_file

    key = {
        **job.key,
        "layers": recover.losing(job.model, draft.groups),
        "images": how.images,
        "compared": how.compared,
        "moments": _moves_moments(how),
    }
    place = job.store.make("shown", key, build)
    draft.spend(job.store.read(place / COST, Cost))
    draft.shown = recover.unpacked(load_file(place / SHOWN))
    return draft.shown


def _measured(draft: Draft, model: nn.Module, how: Recovery, passes: Passes) -> Shown:
    """What a network with all its channels shows on calibration images."""
    job = passes.job
    names = recover.losing(job.model, draft.groups)
    passes.lay_out(model)
    with job.track("recovery", taken(job, how.images)) as advance:
        grams = passes.over(how.images, partial(recover.grams, model, names, advance=advance))
    moments: Moments = {}
    if _moves_moments(how) and recover.own_moments(model):
        moments = passes.over(how.images, partial(recover.moments, model))
    return Shown(grams, moments, _logits(model, how, passes))


def _moves_moments(how: Recovery) -> bool:
    return not {"relative", "absolute"}.isdisjoint(how.variants)


def _logits(model: nn.Module, how: Recovery, passes: Passes) -> Tensor:
    """The logits of the images that variants are compared on, float32 (n, classes)."""

    @torch.no_grad()
    def work(batches: Iterator[Tensor]) -> Tensor:
        return torch.cat([model(images).float() for images in batches])

    return passes.over(min(how.compared, how.images), work)
