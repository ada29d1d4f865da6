"""HQP beside other tools, one run, one device: ``nox -s perf -- peers MODEL …``.

The drop is on images of ``test``, and the times of each file are paired with those of the FP32 file. With
``--fixtures DIR`` the checkpoints are those that ``hqp train --out DIR`` wrote; ``--dataset`` and ``--device`` name
others than signs and OpenVINO.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from hqp import catalog
from hqp.errors import HqpError, NotInstalled
from hqp.foreign import foreign, silence
from hqp.records import Accuracy, Recipe
from hqp.run.compress import artifact
from hqp.run.context import Context
from hqp.run.inputs import artifacts, checkpoints
from hqp.run.inputs.request import Request, resolve
from hqp.run.job import prepared_job
from hqp.run.measuring import Protocol, time_pair
from hqp.stats import ratio
from hqp.stats.paired import drop_pp
from hqp.store import Store, sha256_of
from hqp.suite import Model

if TYPE_CHECKING:
    from hqp.compress.job import Job
    from hqp.compress.studies.peers._given import Given

MODELS = ("resnet18", "mobilenet_v3_large")
METHODS = ("fp32", "bf16", "q8", "hqp")
DATASET, DEVICE, DELTA_MAX_PP = "signs", "cpu_openvino", 1.5
CALIBRATION_IMAGES = 300
CONFIDENCE = 0.9
HEADERS = ("file", "drop, points", "at most", "ms", "times as fast as FP32")

Row = tuple[str, str, str, str, str]


@dataclass(frozen=True)
class Case:
    """What is compared: a trained model and the images that judge it, on a device."""

    model: Model
    dataset: str
    device: str
    test_images: int | None = None


def main(*words: str) -> int:
    """Prints a table for each model."""
    from tabulate import tabulate

    asked = _asked(words)
    tools = _tools()
    context = Context(Store(Path(".hqp")))
    for name in asked.models or MODELS:
        weights = str(checkpoints.trained(asked.fixtures, name, asked.dataset)) if asked.fixtures else None
        case = Case(Model(name, weights=weights), asked.dataset, asked.device, asked.test_images)
        table, failed, trained = rows(context, case, tools)
        print(
            f"{name} on {case.dataset}, {case.device}, one thread; FP32 has {trained.top1:.2%} of"
            f" {trained.total:,} images of 'test'"
        )
        print(tabulate(table, HEADERS, disable_numparse=True))
        for reason in failed:
            print(f"  {reason}")
        print()
    return 0


def _asked(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("peers")
    parser.add_argument("models", nargs="*")
    parser.add_argument("--fixtures", type=Path, help="where `hqp train` wrote the checkpoints")
    parser.add_argument("--dataset", default=DATASET)
    parser.add_argument("--device", default=DEVICE)
    parser.add_argument("--test-images", type=int, help="so many of 'test', by default all")
    return parser.parse_args(words)


def _tools() -> dict[str, ModuleType]:
    """The other tools by name, all of them installed."""
    from hqp.compress.studies.peers import peers

    found: dict[str, ModuleType] = peers()
    for name, tool in found.items():
        absent = catalog.missing(tool)
        if absent:
            raise NotInstalled(name, absent, None)
    return found


def rows(context: Context, case: Case, tools: Mapping[str, ModuleType]) -> tuple[list[Row], list[str], Accuracy]:
    """What each method of HQP and each other tool loses and takes, why a tool made no file, and what FP32 has."""

    def request(method: str) -> Request:
        return Request(case.model, case.dataset, method, case.device, DELTA_MAX_PP, test_images=case.test_images)

    files = _ours(context, request)
    plain = files["fp32"]
    job = prepared_job(context, request("fp32"), Recipe())
    trained = job.test(plain).accuracy
    with tempfile.TemporaryDirectory() as folder:
        made, failed = _theirs(context, _given(job, plain), tools, Path(folder))
        files |= made
        table = [
            _row(context, case.device, name, file, plain, trained, job.test(file).accuracy)
            for name, file in files.items()
        ]
    return table, failed, trained


def _theirs(
    context: Context, given: Given, tools: Mapping[str, ModuleType], folder: Path
) -> tuple[dict[str, Path], list[str]]:
    """The file of each other tool, and why one made none."""
    files: dict[str, Path] = {}
    failed: list[str] = []
    for number, (name, tool) in enumerate(tools.items()):
        file = folder / f"{number}.onnx"
        try:
            with context.progress.track(name, 0), silence(), foreign(f"{name} made no file"):
                tool.make(given, file)
        except HqpError as error:
            failed.append(error.wrong)
        else:
            files[name] = file
    return files, failed


def _ours(context: Context, request: Callable[[str], Request]) -> dict[str, Path]:
    """The file of each method, made where the store does not have it."""
    files: dict[str, Path] = {}
    for method in METHODS:
        made = artifact(context, resolve(request(method), context.plugins))
        files[method] = Path(made.path) / artifacts.MODEL
    return files


def _given(job: Job, plain: Path) -> Given:
    """What the other tools are given: the images of which HQP's own steps see more, and the same judge."""
    from hqp.compress.studies.peers._given import Given

    calibration = job.calibration.first(CALIBRATION_IMAGES)
    images = calibration.normalised(calibration.read(range(len(calibration)), job.input_size))

    def top1(file: Path) -> float:
        return 100 * job.evaluate(file).accuracy.top1

    return Given(job.model, plain, images, calibration.labels, top1, job.delta_max_pp)


def _row(
    context: Context, device: str, name: str, file: Path, plain: Path, trained: Accuracy, accuracy: Accuracy
) -> Row:
    drop = drop_pp(trained.correct_images, accuracy.correct_images, CONFIDENCE)
    times = time_pair(context, device, (sha256_of(plain), plain), file, Protocol(), name)
    faster, median = ratio.speedup(times), ratio.candidate_ms(times)
    return (
        name,
        f"{drop.value:.2f}",
        f"{drop.upper:.2f}",
        f"{median.value:.3f}" if median else "–",
        f"{faster.value:.2f} ({faster.lower:.2f} to {faster.upper:.2f})" if faster else "–",
    )
