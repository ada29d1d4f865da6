"""The numbers of a case that reports show, each with its interval, and what gates said of it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from hqp.records import Case, Estimate, Judgement, Measurement, Outcome
from hqp.stats import noninferiority, paired, ratio, summary

WORST_FIRST: tuple[Outcome, ...] = ("fail", "inconclusive", "pass")


def speedup(measurement: Measurement) -> Estimate | None:
    """How many times as fast as FP32 a case is; ``None`` where there is no FP32 beside it, or processes are too few."""
    if measurement.fp32_accuracy is None:
        return None
    return ratio.speedup(measurement.latency)


def drop(measurement: Measurement) -> Estimate | None:
    """How many points of top-1 a case loses to FP32; ``None`` where there is no FP32 beside it."""
    reference = measurement.fp32_accuracy
    if reference is None:
        return None
    return paired.drop_pp(reference.correct_images, measurement.accuracy.correct_images, noninferiority.CONFIDENCE)


def latency(measurement: Measurement) -> Estimate | None:
    """The median latency in ms, with its interval over processes; of too few, the range of the blocks' medians."""
    if not measurement.latency.blocks:
        return None
    over_processes = ratio.candidate_ms(measurement.latency)
    if over_processes:
        return over_processes
    medians = [float(np.median(block.candidate_ms)) for block in measurement.latency.blocks]
    middle = summary.summarise(measurement.latency.candidate_ms).median_ms
    return Estimate(middle, min(*medians, middle), max(*medians, middle), 1.0)


def outcome(judgements: Iterable[Judgement], case: Case, gate: str, bound: bool = True) -> Outcome | None:
    """The worst verdict of a gate on a case, of those that bind it or of those that are only shown."""
    mine = (one for one in judgements if one.case == case and one.gate == gate and one.bound is bound)
    found = {one.verdict.outcome for one in mine if one.verdict}
    return next((worst for worst in WORST_FIRST if worst in found), None)
