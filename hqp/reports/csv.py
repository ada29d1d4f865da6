"""One line a case, with intervals and verdicts, for a spreadsheet."""

from __future__ import annotations

import csv
import io

from hqp.records import Estimate, Measurement, Results
from hqp.reports import _numbers

suffix = ".csv"

# What a spreadsheet would run as a formula, in a name that came with a file.
FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def render(results: Results) -> str:
    """The cases of a run, numbers in full; what was not measured is an empty cell."""
    gates = list(dict.fromkeys(judgement.gate for judgement in results.judgements))
    rows = [{**_measured(row), **_metrics(row), **_verdicts(results, row, gates)} for row in results.measurements]
    # A metric that some cases lack has a column all the same.
    headers = list(dict.fromkeys(header for row in rows for header in row)) or ["model", "method", "device"]
    text = io.StringIO()
    writer = csv.DictWriter(text, headers, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _measured(row: Measurement) -> dict[str, object]:
    sidecar = row.sidecar
    return {
        "model": _plain(row.case.model),
        "method": _plain(row.case.method),
        "device": _plain(row.case.device),
        "precision": sidecar.settings.recipe.asks_for,
        "instead_of": sidecar.settings.recipe.instead_of or "",
        "top1": row.accuracy.top1,
        **_interval("drop_pp", _numbers.drop(row)),
        **_interval("latency_ms", _numbers.latency(row)),
        **_interval("speedup", _numbers.speedup(row)),
        "model_bytes": sidecar.file.size_bytes,
        "sparsity": sidecar.filters.sparsity,
        "macs": sidecar.file.macs,
        "parameters": sidecar.file.parameters,
        "compression_s": sidecar.spent.seconds,
    }


def _metrics(row: Measurement) -> dict[str, object]:
    """The median of each metric of the whole artefact."""
    return {f"{metric.name}_{metric.unit}": metric.median for metric in row.metrics if not metric.of}


def _interval(name: str, estimate: Estimate | None) -> dict[str, object]:
    values = (estimate.value, estimate.lower, estimate.upper) if estimate else ("", "", "")
    return dict(zip((name, f"{name}_lower", f"{name}_upper"), values, strict=True))


def _verdicts(results: Results, row: Measurement, gates: list[str]) -> dict[str, object]:
    return {gate: _numbers.outcome(results.judgements, row.case, gate) or "" for gate in gates}


def _plain(name: str) -> str:
    """A name that a spreadsheet shows and does not run."""
    return f"'{name}" if name.startswith(FORMULAS) else name
