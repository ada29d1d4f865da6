"""``hqp plot``: the figures of a run as files, one for each model and figure."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from hqp import catalog, documents
from hqp.run.baseline import read_results


def draw(file: Path, out: Path, form: Literal["svg", "png"]) -> tuple[str, ...]:
    """Draws the figures of a results file into a folder, and names the files.

    Raises:
        HqpError: there is no such results file, or what draws is not installed.
    """
    results = read_results(file)
    catalog.require("reports", "html")
    from hqp.reports import _figures

    written = []
    for model in dict.fromkeys(row.case.model for row in results.measurements):
        for name, figure in _figures.FIGURES.items():
            path = out / f"{_file_name(model)}-{name}.{form}"
            if form == "png":
                documents.write_bytes(path, _figures.png(figure, results, model))
            else:
                documents.write_bytes(path, _figures.svg(figure, results, model).encode())
            written.append(str(path))
    return tuple(written)


def _file_name(model: str) -> str:
    """A model's name as a part of a file's: what a file's name cannot hold becomes a hyphen."""
    return re.sub(r"[^\w.]+", "-", model).strip("-.") or "model"
