"""The one table a model that says whether it may ship: how fast, how small, how right, and what the gates say of it."""

from __future__ import annotations

import math
from collections.abc import Iterator

from hqp.records import Measurement, Results
from hqp.reports import _notes, _numbers, _verdicts
from hqp.reports._layout import ABSENT, Column, Section, headers, number, ranks, table

# Decimal, as disks and data sheets count.
MEGABYTE = 1e6


def summary(results: Results, model: str) -> Section:
    """A row a case, and below it what a reader must know of the numbers; its rows may be told device by device."""
    measured = [row for row in results.measurements if row.case.model == model]
    network, images = measured[0].sidecar.network, measured[0].sidecar.images
    columns = (
        Column("method", _notes.method_text),
        Column("device", lambda row: row.case.device),
        Column("median ms", _latency),
        Column("speed-up x", _speedup),
        Column("MB", lambda row: number(row.sidecar.file.size_bytes / MEGABYTE, 2), rank=2),
        Column("θ %", lambda row: number(100 * row.sidecar.filters.sparsity, 1), rank=1),
        Column("top-1 %", lambda row: number(100 * row.accuracy.top1, 2), rank=3),
        Column("drop pp", _drop),
        Column("gates", lambda row: _verdicts.of_case(results.judgements, row.case)),
    )
    return Section(
        f"{model} on {images.dataset}, {network.input_size}x{network.input_size}",
        headers(columns),
        table(columns, measured),
        tuple(dict.fromkeys(_lines(measured))),
        ranks=ranks(columns),
        model=model,
        grouped=True,
    )


def _lines(measured: list[Measurement]) -> Iterator[str]:
    accuracy, settings = measured[0].accuracy, measured[0].sidecar.settings
    yield (
        "median ms, speed-up over FP32: with 90% intervals over processes; drop pp: of top-1 on"
        f" {accuracy.total:,} images of '{accuracy.split}', and its limit at 95% (Δmax {settings.delta_max_pp:g})"
    )
    yield "gates: how many of those that bind the case passed; ✗ one failed, ? one is inconclusive"
    yield from _notes.certified(measured)
    for row in measured:
        yield from _notes.warnings(row)
    yield from _notes.slower_than_half(measured, "fp16")
    yield from _notes.slower_than_half(measured, "bf16")


def _latency(measurement: Measurement) -> str:
    estimate = _numbers.latency(measurement)
    if estimate is None:
        return ABSENT
    return f"{_digits(estimate.value)} ({_digits(estimate.lower)}–{_digits(estimate.upper)})"


def _speedup(measurement: Measurement) -> str:
    estimate = _numbers.speedup(measurement)
    return f"{estimate.value:.2f} ({estimate.lower:.2f}–{estimate.upper:.2f})" if estimate else ABSENT


def _drop(measurement: Measurement) -> str:
    estimate = _numbers.drop(measurement)
    return f"{estimate.value:.2f} (≤{estimate.upper:.2f})" if estimate else ABSENT


def _digits(ms: float) -> str:
    """Three significant digits, or all those before the point."""
    before_the_point = math.floor(math.log10(ms)) + 1
    return f"{ms:,.{max(0, 3 - before_the_point)}f}"
