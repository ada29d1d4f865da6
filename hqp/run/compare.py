"""``hqp compare``: two runs, case by case, with intervals.

Accuracies are paired by image where both runs judged the same images. Latencies of two runs are never set beside each
other, since a machine is not the same twice: what is compared is how many times as fast as FP32 each case was in its
own run, and whether the two intervals are apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from hqp.errors import HqpError
from hqp.records import Case, Estimate, Measurement, Results
from hqp.reports import _numbers, table
from hqp.reports._layout import ABSENT, Section
from hqp.run.baseline import read_results
from hqp.stats import independent, noninferiority, paired

Side = TypeVar("Side")


@dataclass(frozen=True)
class Compared:
    """One case of two runs; a number that a run does not have is ``None``.

    ``top1_lost_pp`` is what the second loses to the first, in points, with its interval; ``None`` where the runs did
    not judge the same images. ``speedup_ratio`` is the second run's speed-up over that of the first, with its interval.
    ``differing`` are the facts in which the environments of the two runs differ.
    """

    case: Case
    top1: tuple[float | None, float | None]
    top1_lost_pp: Estimate | None
    speedups: tuple[Estimate | None, Estimate | None]
    speedup_ratio: Estimate | None
    model_bytes: tuple[int | None, int | None]
    sparsity: tuple[float | None, float | None]
    differing: tuple[str, ...]


def compare(first: Path, second: Path) -> tuple[Compared, ...]:
    """The cases of two results files: those that both have first, then those of one only.

    Raises:
        HqpError: one of them is no results file, or they have no case in common.
    """
    before, after = _by_case(read_results(first)), _by_case(read_results(second))
    if not before.keys() & after.keys():
        raise HqpError(f"{first} and {second} have no case in common", "two runs of one suite")
    both = [case for case in before if case in after]
    alone = [case for case in (*before, *after) if case not in both]
    return tuple(_compared(case, before.get(case), after.get(case)) for case in (*both, *alone))


def text(compared: tuple[Compared, ...]) -> str:
    """The comparison as a table a model, as wide as the terminal, with what a reader must know below it."""
    models = dict.fromkeys(one.case.model for one in compared)
    sections = [_section(model, [one for one in compared if one.case.model == model]) for model in models]
    return table.laid_out(sections, table.terminal_width())


def _section(model: str, compared: list[Compared]) -> Section:
    notes = dict.fromkeys(note for one in compared for note in (*_changes(one), *_notes(one)))
    told = "lost pp: on the same images; ratio: new over old speed-up; both with their 90% intervals"
    return Section(
        model,
        ("method", "device", "top-1 %", "lost pp", "speed-up x", "ratio", "MB", "θ %"),
        tuple(map(_row, compared)),
        (*notes, told),
        ranks={"MB": 1, "θ %": 2},
        model=model,
        grouped=True,
    )


def _by_case(results: Results) -> dict[Case, Measurement]:
    return {row.case: row for row in results.measurements}


def _compared(case: Case, before: Measurement | None, after: Measurement | None) -> Compared:
    sides = (before, after)
    first, second = (_numbers.speedup(side) if side else None for side in sides)
    old, new = (side.sidecar if side else None for side in sides)
    return Compared(
        case=case,
        top1=(before.accuracy.top1 if before else None, after.accuracy.top1 if after else None),
        top1_lost_pp=_lost_pp(before, after) if before and after else None,
        speedups=(first, second),
        speedup_ratio=independent.quotient(second, first) if first and second else None,
        model_bytes=(old.file.size_bytes if old else None, new.file.size_bytes if new else None),
        sparsity=(old.filters.sparsity if old else None, new.filters.sparsity if new else None),
        differing=before.environment.differing(after.environment) if before and after else (),
    )


def _lost_pp(before: Measurement, after: Measurement) -> Estimate | None:
    """The points that the second run's file loses to the first's on the same images."""
    if before.accuracy.split_digest != after.accuracy.split_digest:
        return None
    hits = (before.accuracy.correct_images, after.accuracy.correct_images)
    return paired.drop_pp(*hits, noninferiority.CONFIDENCE)


def _row(one: Compared) -> tuple[str, ...]:
    lost = one.top1_lost_pp
    ratio = one.speedup_ratio
    return (
        one.case.method,
        one.case.device,
        _change(one.top1, lambda share: f"{100 * share:.2f}"),
        _interval(lost, 2) if lost else ABSENT,
        _change(one.speedups, lambda speedup: f"{speedup.value:.2f}"),
        _interval(ratio, 3) if ratio else ABSENT,
        _change(one.model_bytes, lambda count: f"{count / 1e6:.2f}"),
        _change(one.sparsity, lambda share: f"{100 * share:.1f}"),
    )


def _interval(estimate: Estimate, places: int) -> str:
    return f"{estimate.value:.{places}f} ({estimate.lower:.{places}f} to {estimate.upper:.{places}f})"


def _change(sides: tuple[Side | None, Side | None], form: Callable[[Side], str]) -> str:
    """What a number was and what it is; once where it reads the same."""
    before, after = (ABSENT if side is None else form(side) for side in sides)
    return before if before == after else f"{before}→{after}"


def _changes(one: Compared) -> Iterator[str]:
    """What changed beyond doubt: a sentence for each number whose interval leaves out that nothing did."""
    lost, ratio = one.top1_lost_pp, one.speedup_ratio
    if ratio and not ratio.lower <= 1 <= ratio.upper:
        word = "faster" if ratio.value > 1 else "slower"
        yield f"{one.case} is {word}: {_interval(ratio, 3)} times as fast as before"
    if lost and not lost.lower <= 0 <= lost.upper:
        word = "less" if lost.value > 0 else "more"
        size = f"{abs(lost.value):.2f} points of top-1"
        yield f"{one.case} is {word} accurate, by {size} (lost {_interval(lost, 2)})"


def _notes(one: Compared) -> Iterator[str]:
    if one.differing:
        yield f"{one.case.device} was another environment: {', '.join(one.differing)} differ"
    if None in one.top1:
        yield f"{one.case} is in one run only"
    elif one.top1_lost_pp is None:
        yield f"{one.case}: the runs judged different images, so what was lost is not told"
