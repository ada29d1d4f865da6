"""``hqp init``: a first suite and the workflow that runs it, both checked before they are written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import Any

from hqp import documents
from hqp.errors import HqpError
from hqp.records import Reading
from hqp.run import judge
from hqp.run.plugins import Plugins

# What a suite may say of its images, and nothing said.
IMAGES = ("crop", "resize", "interpolation", "mean", "std")
AS_THE_WEIGHTS_SAY = Reading()

WORKFLOW = Path(".github", "workflows", "hqp.yml")

SUITE_TEXT = Template('''\
"""$name on $dataset: HQP loses at most 1.5 points of top-1 and takes a quarter of the bytes."""

from hqp import $names

suite = Suite(
    models=($model,),
    dataset=$dataset_text,
$images    devices=($device,),
    methods=("fp32", "q8", "hqp"),
    delta_max_pp=1.5,
    gates=(
        Gate("accuracy_drop", methods="hqp", max_pp=1.5),
        Gate("size", methods="hqp", max_ratio=0.25),
        # Faster than FP32 by how much, once you have seen it: Gate("speedup", methods="hqp", min_ratio=2.0),
        # Skipped until `hqp baseline update` has recorded what it is judged against.
        Gate("latency_regression", margin=0.05),
    ),
)
''')

WORKFLOW_TEXT = """\
name: hqp

on:
  push:
    branches: [main]
  pull_request:

permissions:
  contents: read

jobs:
  suites:
    runs-on: ubuntu-latest
    timeout-minutes: 60
    steps:
      - uses: actions/checkout@v4
        with:
          persist-credentials: false
      - uses: actions/setup-python@v5
        with:
          python-version: "3.12"
      - run: pip install 'hqp[all]'
      # The verdicts and figures appear on the job's page.
      - run: pytest suites --junitxml .hqp/results/junit.xml
      - uses: actions/upload-artifact@v4
        if: always()
        with:
          name: hqp-results
          path: .hqp/results
          include-hidden-files: true
"""


def init(
    folder: Path,
    name: str,
    model: str,
    weights: str | None,
    dataset: str,
    device: str,
    reading: Reading = AS_THE_WEIGHTS_SAY,
) -> tuple[Path, ...]:
    """Writes ``suites/NAME.py`` below ``folder``, and the workflow where there is none; returns what was written.

    ``reading`` is what the user says of his images.

    Raises:
        HqpError: the suite exists, or says something that a suite must not, a misspelt model for one.
    """
    if not re.fullmatch(r"[A-Za-z]\w*", name):
        raise HqpError(f"'{name}' is no name of a suite", "letters, digits and underscores", "--name first")
    suite_file = folder / "suites" / f"{name}.py"
    if suite_file.exists():
        raise HqpError(f"{suite_file} exists", "a suite under another name", f"--name {name}_2")
    text = _suite_text(model, weights, dataset, device, reading)
    _check(text, suite_file)
    documents.write_bytes(suite_file, text.encode())
    workflow = folder / WORKFLOW
    if workflow.exists():
        return (suite_file,)
    documents.write_bytes(workflow, WORKFLOW_TEXT.encode())
    return suite_file, workflow


def _suite_text(model: str, weights: str | None, dataset: str, device: str, reading: Reading) -> str:
    name = Path(model.partition(":")[0]).stem if ".py" in model else model.rpartition(":")[2]
    declared = (
        f"Model({_quoted(model)}, weights={_quoted(weights)}, name={_quoted(name)})" if weights else _quoted(model)
    )
    return SUITE_TEXT.substitute(
        names="Gate, Model, Suite" if weights else "Gate, Suite",
        name=name,
        model=declared,
        dataset=dataset,
        dataset_text=_quoted(dataset),
        device=_quoted(device),
        images="".join(f"    {field}={_literal(value)},\n" for field, value in _said(reading)),
    )


def _said(reading: Reading) -> Iterator[tuple[str, Any]]:
    """The fields of a suite that say what an image becomes, where the user said it."""
    for field in IMAGES:
        value = getattr(reading, field)
        if value is not None:
            yield field, value


def _literal(value: Any) -> str:
    return _quoted(value) if isinstance(value, str) else repr(value)


def _quoted(text: str | None) -> str:
    """A string literal; what JSON writes with double quotes, Python reads."""
    return json.dumps(text, ensure_ascii=False)


def _check(text: str, file: Path) -> None:
    """Loads the suite as pytest will, and resolves every name in it."""
    namespace: dict[str, Any] = {}
    exec(compile(text, str(file), "exec"), namespace)
    judge.resolve(namespace["suite"], Plugins())
