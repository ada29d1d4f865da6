"""``hqp bench``: finished artefacts, measured on a device."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hqp.cli.application import Json, Names, answer, app, rendered


@app.command(epilog="Example: hqp bench out/mine --device cpu_openvino")
def bench(
    artefacts: Annotated[list[Path], typer.Argument(metavar="ARTEFACT...", help="Artefact directories.")],
    device: Annotated[
        str, typer.Option(help="The device to measure on.", show_default=False, autocompletion=Names("devices"))
    ],
    dataset: Annotated[str | None, typer.Option(help="The artefacts' dataset.", show_default=False)] = None,
    json: Json = False,
) -> int:
    """Measure finished artefacts on a device."""

    def make() -> Any:
        from hqp.run.bench import bench_artifacts

        return bench_artifacts(artefacts, device, dataset=dataset)

    return _gated(answer(make, json, lambda results: rendered("table", results)))


def _gated(results: Any) -> int:
    """1 where a gate that binds its case did not pass."""
    verdicts = [one.verdict for one in results.judgements if one.bound and one.verdict is not None]
    return int(any(verdict.outcome != "pass" for verdict in verdicts))
