"""``hqp bench``: finished artefacts, measured on a device."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hqp import catalog
from hqp.errors import HqpError, command
from hqp.records import Case, Results
from hqp.run import artifacts
from hqp.run.context import Context, device_of
from hqp.run.measuring import Protocol, measure_files
from hqp.run.results import results
from hqp.store import Store

REFERENCE_METHOD = "fp32"


def bench_artifacts(paths: Sequence[Path], device: str, *, dataset: str | None = None) -> Results:
    """The measurements of finished artefacts on a device, beside FP32 where one of them is the same model's FP32."""
    made = [(path, artifacts.read(path).sidecar) for path in paths]
    catalog.load("runtimes", device_of(device).runtime)
    for path, sidecar in made:
        if dataset is not None and sidecar.dataset != dataset:
            fix = command("--dataset", sidecar.dataset)
            raise HqpError(f"{path} was made for {sidecar.dataset}, not {dataset}", fix=fix)
        catalog.load("datasets", sidecar.dataset)
    dense = {sidecar.checkpoint_sha256: (sidecar, path / artifacts.MODEL)
             for path, sidecar in made if sidecar.method == REFERENCE_METHOD}  # fmt: skip
    context = Context(Store(Path(".hqp")))
    measurements = []
    for number, (path, sidecar) in enumerate(made, 1):
        case = Case(sidecar.model, sidecar.method, device)
        reference = dense.get(sidecar.checkpoint_sha256)
        with context.progress.case(str(case), number, len(made)):
            measurements.append(measure_files(context, case, sidecar, path / artifacts.MODEL, reference, Protocol()))
    return results("bench", "what these artefacts do on this device", tuple(measurements), ())
