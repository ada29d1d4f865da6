"""``hqp bench``: finished artefacts, measured on a device."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from hqp.cli.application import Json, Names, answer, app, rendered
from hqp.errors import HqpError

MISTAKE = 2

Against = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Compare with the runtime of another Python environment.", show_default=False),
]
Margin = Annotated[
    float, typer.Option(min=0, max=1, help="The share of time that this runtime may add to the other's.")
]


@app.command(epilog="Example: hqp bench out/mine --device cpu_openvino")
def bench(
    artefacts: Annotated[
        list[Path],
        typer.Argument(metavar="ARTEFACT...", help="Artefact directories, or one that has a folder for each device."),
    ],
    device: Annotated[
        str | None,
        typer.Option(
            help="The device to measure on; by default the board at hand.",
            show_default=False,
            autocompletion=Names("devices"),
        ),
    ] = None,
    host: Annotated[
        str | None, typer.Option(metavar="USER@HOST", help="The board's host, over SSH.", show_default=False)
    ] = None,
    suite: Annotated[Path | None, typer.Option(help="The suite whose gates judge.", show_default=False)] = None,
    dataset: Annotated[str | None, typer.Option(help="The artefacts' dataset.", show_default=False)] = None,
    results: Annotated[Path | None, typer.Option(help="Where the results are written.", show_default=False)] = None,
    against_environment: Against = None,
    margin: Margin = 0.05,
    json: Json = False,
) -> int:
    """Measure finished artefacts on a device.

    What is measured is kept in .hqp/bench.json, one by one.
    """
    if against_environment is not None:
        return _upgraded(artefacts, device, against_environment, margin, json)
    failed: list[str] = []

    def make() -> Any:
        from hqp import documents
        from hqp.run.bench import bench_artifacts
        from hqp.run.plugins import HOST_VARIABLE

        if host is not None:
            # Processes that are started for a measurement have to know it too.
            os.environ[HOST_VARIABLE] = host
        benched = bench_artifacts(artefacts, device, dataset=dataset, suite=suite)
        failed.extend(benched.failed)
        if results is not None:
            documents.write(results, benched.results)
        return benched.results

    made = answer(make, json, lambda measured: rendered("table", measured))
    for line in failed:
        print(f"hqp: error: {line}", file=sys.stderr)
    return MISTAKE if failed else _gated(made)


def _upgraded(artefacts: list[Path], device: str | None, other: Path, margin: float, json: bool) -> int:
    """1 where a file is not shown to be as fast here as in the other environment, but for the margin."""

    def make() -> Any:
        from hqp.run.environments import compare

        if device is None:
            raise HqpError("two environments are compared on a device", fix="--device cpu_onnxruntime")
        return compare(artefacts, device, other, margin)

    found = answer(
        make, json, lambda upgrades: "\n".join(f"{one.case}: {one.outcome}: {one.reason}" for one in upgrades)
    )
    return int(any(one.outcome != "pass" for one in found))


def _gated(results: Any) -> int:
    """1 where a gate that binds its case did not pass."""
    verdicts = [one.verdict for one in results.judgements if one.bound and one.verdict is not None]
    return int(any(verdict.outcome != "pass" for verdict in verdicts))
