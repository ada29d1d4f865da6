"""The one Markdown table of a README: every model and method on the first device that was measured."""

from __future__ import annotations

from tabulate import tabulate

from hqp.records import Measurement, Results
from hqp.reports import _notes, _numbers
from hqp.reports._layout import ABSENT, Column, headers, number, table

suffix = ".md"

# What of the versions a number depends on, beside the processor.
TOLD = ("cpu", "cores", "memory", "system", "python", "torch", "onnxruntime", "openvino")

COLUMNS = (
    Column("model", lambda row: row.case.model),
    Column("method", lambda row: f"`{_notes.method_text(row)}`"),
    Column("top-1 %", lambda row: number(100 * row.accuracy.top1, 2)),
    Column("drop, points", lambda row: _drop(row)),
    Column("θ %", lambda row: number(100 * row.sidecar.filters.sparsity, 1)),
    Column("smaller", lambda row: number(row.sidecar.compression_ratio, 2) + "x"),
    Column("median ms", lambda row: _latency(row)),
    Column("times as fast as FP32", lambda row: _speedup(row)),
)


def render(results: Results) -> str:
    """The table, and below it the machine, the versions, the date and the command of the run."""
    if not results.measurements:
        return "Nothing was measured.\n"
    device = results.measurements[0].case.device
    measured = [row for row in results.measurements if row.case.device == device]
    rows = [[cell.replace("|", "\\|") for cell in row] for row in table(COLUMNS, measured)]
    align = ["left", "left", *(["right"] * (len(COLUMNS) - 2))]
    told = [f"{name} {results.machine[name]}" for name in TOLD if name in results.machine]
    made = f"On `{device}`, {results.date}, by `{results.command}` of HQP {results.hqp_version}: {', '.join(told)}."
    return f"{tabulate(rows, headers(COLUMNS), 'pipe', colalign=align, disable_numparse=True)}\n\n{made}\n"


def _drop(row: Measurement) -> str:
    estimate = _numbers.drop(row)
    return number(estimate.value, 2) if estimate else ABSENT


def _latency(row: Measurement) -> str:
    estimate = _numbers.latency(row)
    return number(estimate.value, 3) if estimate else ABSENT


def _speedup(row: Measurement) -> str:
    estimate = _numbers.speedup(row)
    return f"{estimate.value:.2f}x ({estimate.lower:.2f} to {estimate.upper:.2f})" if estimate else ABSENT
