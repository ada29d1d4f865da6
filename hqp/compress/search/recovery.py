"""A candidate's recovery: of the variants that its recipe allows, the one that stays nearest to the trained network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn

from hqp.compress.channels import groups, recover
from hqp.compress.channels.groups import Removal
from hqp.compress.channels.recover import Moments, Reference
from hqp.compress.job import Job, calibration_batches, calibration_count
from hqp.compress.network import layout
from hqp.compress.network.batches import FittingBatches
from hqp.compress.quantisation.int8 import divergence
from hqp.ledger import Ledger, Tally
from hqp.records import Group, Recovered, Recovery, Variant

Result = TypeVar("Result")

STEP = "recovery"

# A variant is a module and the moments that its batch norms are to have; two may share a module.
Variants = dict[Variant, tuple[nn.Module, Moments]]


class CalibrationPasses:
    """Passes over images of ``calibration``, which it counts; batches that memory does not hold are halved."""

    def __init__(self, job: Job, tally: Tally) -> None:
        self.job, self._tally = job, tally
        self._order, self._fitting = torch.contiguous_format, FittingBatches(job.warn)

    def lay_out(self, model: nn.Module) -> nn.Module:
        """The network, its weights laid out as the images are from now on."""
        self._order = layout.fitted(model, self.job.example)
        return model

    def over(self, count: int, work: Callable[[Iterator[Tensor]], Result]) -> Result:
        """What ``work`` gives for one pass: batches of float32 (n, 3, size, size)."""
        self._tally.passes += 1
        self._tally.images += calibration_count(self.job, count)
        return self._fitting.anew(lambda: self._batches(count), work)

    def _batches(self, count: int) -> Iterator[Tensor]:
        for _, images in calibration_batches(self.job, count):
            yield torch.from_numpy(images).contiguous(memory_format=self._order)


def recovered(
    job: Job,
    found: Sequence[Group],
    model: nn.Module,
    removal: Removal,
    how: Recovery,
    reference: Reference,
    ledger: Ledger,
) -> tuple[nn.Module, Recovered]:
    """The model without these channels, recovered, and by which variant; ``reference`` is of the model itself."""
    with ledger.step(STEP) as tally, job.track(STEP, 0):
        passes = CalibrationPasses(job, tally)
        variants = _variants(passes, found, model, removal, how, reference)
        divergences: dict[Variant, float] = {}
        if len(variants) > 1:
            exact = reference.logits.numpy()
            for variant, (smaller, moments) in variants.items():
                recover.normalise_by(smaller, moments)
                divergences[variant] = divergence(exact, _logits(passes, smaller, how).numpy())
        nearest = min(variants, key=lambda variant: divergences.get(variant, 0.0))
        smaller, moments = variants[nearest]
        recover.normalise_by(smaller, moments)
    return smaller, Recovered(nearest, divergences)


def _variants(
    passes: CalibrationPasses,
    found: Sequence[Group],
    model: nn.Module,
    removal: Removal,
    how: Recovery,
    reference: Reference,
) -> Variants:
    """The model without these channels by each variant that the recipe allows; without batch norms these are fewer."""
    variants: Variants = {}
    if "none" in how.variants:
        plain = passes.lay_out(groups.remove(model, removal, found))
        variants["none"] = plain, recover.own_moments(plain)
        if how.variants == ("none",):
            return variants
    gone = groups.removed(found, removal)
    fitted = passes.lay_out(groups.remove(model, removal, found))
    recover.refit(model, fitted, gone, reference.grams)
    variants["least_squares"] = fitted, recover.own_moments(fitted)
    if reference.moments and moves_moments(how):
        seen = passes.over(how.images, partial(recover.moments, fitted))
        # Where each batch was of one image, there is no variance to take.
        if seen:
            variants["relative"] = fitted, recover.moved(fitted, reference.moments, seen, gone)
            variants["absolute"] = fitted, seen
    allowed: Variants = {variant: variants[variant] for variant in how.variants if variant in variants}
    return allowed or {"least_squares": variants["least_squares"]}


def measured(job: Job, found: Sequence[Group], model: nn.Module, how: Recovery, ledger: Ledger) -> Reference:
    """What a network of the trained one's shape gives on calibration images."""
    with ledger.step(STEP) as tally:
        passes = CalibrationPasses(job, tally)
        passes.lay_out(model)
        names = recover.losing(job.model, found)
        with job.track(STEP, calibration_count(job, how.images)) as advance:
            grams = passes.over(how.images, partial(recover.grams, model, names, advance=advance))
        moments: Moments = {}
        if moves_moments(how) and recover.own_moments(model):
            moments = passes.over(how.images, partial(recover.moments, model))
        return Reference(grams, moments, _logits(passes, model, how))


def moves_moments(how: Recovery) -> bool:
    """Whether a variant of the recipe needs what batch norms see on calibration images."""
    return not {"relative", "absolute"}.isdisjoint(how.variants)


def _logits(passes: CalibrationPasses, model: nn.Module, how: Recovery) -> Tensor:
    """The logits of the images that variants are compared on, float32 (n, classes)."""

    @torch.no_grad()
    def work(batches: Iterator[Tensor]) -> Tensor:
        return torch.cat([model(images).float() for images in batches])

    return passes.over(min(how.compared, how.images), work)
