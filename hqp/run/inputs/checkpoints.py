"""Where checkpoints are: the embedded ones that come with HQP, and those of the repository one works in."""

from __future__ import annotations

import re
from pathlib import Path

import hqp

FOLDER = "fixtures"


def folder() -> Path:
    """The folder of the embedded fixtures: in the package where HQP is installed, beside it in a checkout."""
    package = Path(hqp.__file__).parent
    installed = package / FOLDER
    return installed if installed.is_dir() else package.parent / FOLDER


def checkpoint(model: str, dataset: str) -> Path:
    """The weight file of a model trained on a dataset, whether or not it is there.

    What ``hqp train`` wrote to the working directory comes before what is embedded.
    """
    own, embedded = (trained(place, model, dataset) for place in (Path(FOLDER), folder()))
    return embedded if embedded.is_file() and not own.is_file() else own


def trained(out: Path, model: str, dataset: str) -> Path:
    """Where ``hqp train`` writes the weights of a model; what a file's name cannot hold becomes a hyphen."""
    return out / _file_name(dataset) / f"{_file_name(model)}.safetensors"


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.]+", "-", name).strip("-.")
