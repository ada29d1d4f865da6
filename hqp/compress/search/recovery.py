"""A candidate's recovery: of the variants that its recipe allows, the one that stays nearest to the trained network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn

from hqp.compress.blocks import refitting
from hqp.compress.channels import groups, recover
from hqp.compress.channels.groups import Removal
from hqp.compress.channels.recover import Moments, Reference
from hqp.compress.job import Job, calibration_batches, calibration_count
from hqp.compress.network import layout
from hqp.compress.network.batches import FittingBatches
from hqp.compress.quantisation.int8 import divergence
from hqp.ledger import Ledger, Tally
from hqp.records import Group, Recovered, Recovery, Replaced, Variant

Result = TypeVar("Result")

STEP = "recovery"

# A variant is a module and the moments that its batch norms are to have; two may share a module.
Variants = dict[Variant, tuple[nn.Module, Moments]]


class CalibrationPasses:
    """Passes over images of ``calibration``, which it counts; batches that memory does not hold are halved."""

    def __init__(self, job: Job, tally: Tally) -> None:
        self.job, self._tally = job, tally
        self._order, self.fitting = torch.contiguous_format, FittingBatches(job.warn)

    def lay_out(self, model: nn.Module) -> nn.Module:
        """The network, its weights laid out as the images are from now on."""
        self._order = layout.fitted(model, self.job.example)
        return model

    def over(self, count: int, work: Callable[[Iterator[Tensor]], Result]) -> Result:
        """What ``work`` gives for one pass: batches of float32 (n, 3, size, size)."""
        self._tally.passes += 1
        self._tally.images += calibration_count(self.job, count)
        return self.fitting.anew(lambda: self._batches(count), work)

    def together(self, count: int) -> Tensor:
        """So many images at once, for one pass."""
        return self.over(count, lambda batches: torch.cat(list(batches)))

    def _batches(self, count: int) -> Iterator[Tensor]:
        for _, images in calibration_batches(self.job, count):
            yield torch.from_numpy(images).contiguous(memory_format=self._order)


@dataclass(frozen=True)
class Whole:
    """A network with all its channels, the groups of them that may go, and what it gives on calibration images."""

    model: nn.Module
    groups: Sequence[Group]
    reference: Reference


def recovered(job: Job, whole: Whole, removal: Removal, how: Recovery, ledger: Ledger) -> tuple[nn.Module, Recovered]:
    """The network without these channels, recovered, and by which variant."""
    with ledger.step(STEP) as tally, job.track(STEP, 0):
        passes = CalibrationPasses(job, tally)
        variants = _variants(passes, whole, removal, how)
        # Of a single one there is nothing to compare.
        divergences = _divergences(passes, whole, variants, how) if len(variants) > 1 else {}
        nearest = min(variants, key=lambda variant: divergences.get(variant, 0.0))
        smaller, moments = variants[nearest]
        # Comparing has left the moments of the variant that came last.
        recover.normalise_by(smaller, moments)
    return smaller, Recovered(nearest, divergences)


def _divergences(passes: CalibrationPasses, whole: Whole, variants: Variants, how: Recovery) -> dict[Variant, float]:
    """How far from the whole network each variant is."""
    exact = whole.reference.logits.numpy()
    divergences: dict[Variant, float] = {}
    for variant, (smaller, moments) in variants.items():
        recover.normalise_by(smaller, moments)
        logits = _logits(passes, smaller, how)
        divergences[variant] = divergence(exact, logits.numpy())
    return divergences


def _variants(passes: CalibrationPasses, whole: Whole, removal: Removal, how: Recovery) -> Variants:
    """The network without these channels by each variant that is allowed; without batch norms these are fewer."""
    variants: Variants = {}
    if "none" in how.variants:
        plain = passes.lay_out(groups.remove(whole.model, removal, whole.groups))
        variants["none"] = plain, recover.own_moments(plain)
    if needs_grams(how):
        variants |= _fitted(passes, whole, removal, how)
    if "sequential" in how.variants:
        variants["sequential"] = _sequential(passes, whole, removal, how)
    allowed: Variants = {variant: variants[variant] for variant in how.variants if variant in variants}
    # A recipe that moves batch norms alone still fits what has none.
    return allowed or {"least_squares": variants["least_squares"]}


def _fitted(passes: CalibrationPasses, whole: Whole, removal: Removal, how: Recovery) -> Variants:
    """The variants that are fitted by least squares: one module, whose batch norms are to have these moments."""
    reference, gone = whole.reference, groups.removed(whole.groups, removal)
    fitted = passes.lay_out(groups.remove(whole.model, removal, whole.groups))
    recover.refit(whole.model, fitted, gone, reference.grams)
    variants: Variants = {"least_squares": (fitted, recover.own_moments(fitted))}
    if not (reference.moments and moves_moments(how)):
        return variants
    seen = passes.over(how.images, partial(recover.moments, fitted))
    # Where each batch was of one image, there is no variance to take.
    if seen:
        variants["relative"] = fitted, recover.moved(fitted, reference.moments, seen, gone)
        variants["absolute"] = fitted, seen
    return variants


def _sequential(passes: CalibrationPasses, whole: Whole, removal: Removal, how: Recovery) -> tuple[nn.Module, Moments]:
    """The variant whose layers are fitted one after the other, on what the pruned network itself hands them."""
    passes.lay_out(whole.model)
    sampled = refitting.sampled(whole.model, passes.job.example, how.images)
    images, gone = passes.together(sampled.images), groups.removed(whole.groups, removal)

    def fit(parts: Iterator[Tensor]) -> nn.Module:
        # All images, or as many as memory holds; the rows of the first images come first.
        seen = next(parts)
        wanted = {name: rows[: len(rows) * len(seen) // len(images)] for name, rows in whole.reference.outputs.items()}
        # Anew each time: a fit that failed has changed some layers.
        smaller = passes.lay_out(groups.remove(whole.model, removal, whole.groups))
        refitting.refit(smaller, wanted, seen, gone, sampled.positions)
        return smaller

    smaller = passes.fitting.anew(lambda: [images], fit)
    return smaller, recover.own_moments(smaller)


@dataclass(frozen=True)
class Aim:
    """The network whose outputs layers are fitted to, and its gates that something simpler may stand in for."""

    model: nn.Module
    gates: Sequence[Replaced] = ()


def measured(job: Job, found: Sequence[Group], model: nn.Module, how: Recovery, ledger: Ledger, aim: Aim) -> Whole:
    """A network with all its channels, with what it, and what its layers are to come near to, give."""
    with ledger.step(STEP) as tally:
        passes = CalibrationPasses(job, tally)
        for network in (aim.model, model):
            passes.lay_out(network)
        grams: dict[str, Tensor] = {}
        if needs_grams(how):
            names = recover.losing(job.model, found)
            with job.track(STEP, calibration_count(job, how.images)) as advance:
                grams = passes.over(how.images, partial(recover.grams, model, names, advance=advance))
        outputs: dict[str, Tensor] = {}
        if "sequential" in how.variants:
            sampled = refitting.sampled(model, job.example, how.images)
            wanted = partial(refitting.wanted, aim.model, aim.gates, positions=sampled.positions)
            still_there = dict(model.named_modules())
            for name, rows in passes.over(sampled.images, wanted).items():
                if name in still_there:
                    outputs[name] = rows
        moments: Moments = {}
        if moves_moments(how) and recover.own_moments(model):
            moments = passes.over(how.images, partial(recover.moments, model))
        logits = _logits(passes, aim.model, how)
    return Whole(model, found, Reference(grams, moments, outputs, logits))


def needs_grams(how: Recovery) -> bool:
    """Whether a variant of the recipe fits layers to what the network with all its channels hands them."""
    return not {"least_squares", "relative", "absolute"}.isdisjoint(how.variants)


def moves_moments(how: Recovery) -> bool:
    """Whether a variant of the recipe needs what batch norms see on calibration images."""
    return not {"relative", "absolute"}.isdisjoint(how.variants)


def _logits(passes: CalibrationPasses, model: nn.Module, how: Recovery) -> Tensor:
    """The logits of the images that variants are compared on, float32 (n, classes)."""

    @torch.no_grad()
    def work(batches: Iterator[Tensor]) -> Tensor:
        return torch.cat([model(images).float() for images in batches])

    return passes.over(min(how.compared, how.images), work)
