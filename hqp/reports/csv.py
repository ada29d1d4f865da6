"""One line a case, with intervals and verdicts, for a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

from hqp.records import Measurement, Results
from hqp.reports import _drawn, _numbers

suffix = ".csv"

# What a spreadsheet would run as a formula, in a name that came with a file.
FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def render(results: Results) -> str:
    """The cases of a run, numbers in full; what was not measured is an empty cell."""
    gates = list(dict.fromkeys(judgement.gate for judgement in results.judgements))
    rows = [{**_measured(row), **_metrics(row), **_verdicts(results, row, gates)} for row in results.measurements]
    return lines(rows)


def lines(rows: Sequence[Mapping[str, object]]) -> str:
    """Rows as CSV, a column for each name that any of them has; texts are none that a spreadsheet would run."""
    headers = list(dict.fromkeys(header for row in rows for header in row)) or ["model", "method", "device"]
    text = io.StringIO()
    writer = csv.DictWriter(text, headers, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _plain(value) if isinstance(value, str) else value for name, value in row.items()})
    return text.getvalue()


def _measured(row: Measurement) -> dict[str, object]:
    sidecar = row.sidecar
    return {
        "model": row.case.model,
        "method": row.case.method,
        "device": row.case.device,
        "precision": sidecar.settings.recipe.asks_for,
        "instead_of": sidecar.settings.recipe.instead_of or "",
        "top1": row.accuracy.top1,
        **_drawn.interval("drop_pp", _numbers.drop(row)),
        **_drawn.interval("latency_ms", _numbers.latency(row)),
        **_drawn.interval("speedup", _numbers.speedup(row)),
        "model_bytes": sidecar.file.size_bytes,
        "sparsity": sidecar.filters.sparsity,
        "macs": sidecar.file.macs,
        "parameters": sidecar.file.parameters,
        "compression_s": sidecar.spent.seconds,
    }


def _metrics(row: Measurement) -> dict[str, object]:
    """The median of each metric of the whole artefact."""
    return {f"{metric.name}_{metric.unit}": metric.median for metric in row.metrics if not metric.of}


def _verdicts(results: Results, row: Measurement, gates: list[str]) -> dict[str, object]:
    return {gate: _numbers.outcome(results.judgements, row.case, gate) or "" for gate in gates}


def _plain(name: str) -> str:
    """A name that a spreadsheet shows and does not run."""
    return f"'{name}" if name.startswith(FORMULAS) else name
