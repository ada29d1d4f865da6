"""``hqp plot``: the figures of a run, or the numbers that they draw, as files: one for each model and figure."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import Literal

from hqp import catalog, documents
from hqp.records import Results
from hqp.run.baseline import read_results

Form = Literal["svg", "png", "csv", "json"]


def draw(file: Path, out: Path, form: Form) -> tuple[str, ...]:
    """Writes the figures of a results file into a folder, or the numbers that they draw, and names the files.

    Raises:
        HqpError: there is no such results file, or what draws is not installed.
    """
    results = read_results(file)
    catalog.require("reports", "html")
    from hqp.reports import _figures, _history

    names = _figures.names(_history.read(results))
    written = []
    for model in dict.fromkeys(row.case.model for row in results.measurements):
        for name in names:
            path = out / f"{_file_name(model)}-{name}.{form}"
            documents.write_bytes(path, _content(results, model, name, form))
            written.append(str(path))
    return tuple(written)


def why_no_history(file: Path) -> str:
    """Why a results file has no figure of its history, or ``""`` where it has."""
    from hqp.reports import _history

    return _history.read(read_results(file)).absent


def _content(results: Results, model: str, name: str, form: Form) -> bytes:
    from hqp.reports import _drawing, _drawn, _figures
    from hqp.reports import csv as csv_report

    draw = partial(_figures.FIGURES[name], results, model)
    if form == "png":
        return _drawing.png(draw)
    if form == "svg":
        return _drawing.svg(draw, f"{name} {model}").encode()
    rows = list(_drawn.rows(name, results, model))
    text = csv_report.lines(rows) if form == "csv" else json.dumps(rows, indent=1, allow_nan=False) + "\n"
    return text.encode()


def _file_name(model: str) -> str:
    """A model's name as a part of a file's: what a file's name cannot hold becomes a hyphen."""
    return re.sub(r"[^\w.]+", "-", model).strip("-.") or "model"
