"""HQP beside other tools, one run, one device: ``nox -s perf -- peers MODEL …``.

The drop is on images of ``test``, and the times of each file are paired with those of the FP32 file.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from hqp.records import Accuracy, Samples
from hqp.run.compress import artifact
from hqp.run.context import Context
from hqp.run.inputs import artifacts
from hqp.run.inputs.request import Request, resolve
from hqp.run.measuring import Protocol, time_pair
from hqp.stats import ratio
from hqp.stats.paired import drop_pp
from hqp.store import Store, sha256_of
from hqp.suite import Model

MODELS = ("resnet18", "mobilenet_v3_large")
METHODS = ("fp32", "bf16", "q8", "hqp")
DATASET, DEVICE, DELTA_MAX_PP = "signs", "cpu_openvino", 1.5
TEST_IMAGES, CALIBRATION_IMAGES = 8_000, 300
CONFIDENCE = 0.9
HEADERS = ("file", "drop, points", "at most", "ms", "times as fast as FP32")

Row = tuple[str, str, str, str, str]


def main(*models: str) -> int:
    """Prints a table for each model."""
    from tabulate import tabulate

    context = Context(Store(Path(".hqp")))
    for model in models or MODELS:
        print(f"{model} on {DATASET}, {DEVICE}, one thread; drop on {TEST_IMAGES:,} images of 'test'")
        print(tabulate(rows(context, model), HEADERS, disable_numparse=True))
        print()
    return 0


def rows(context: Context, model: str) -> list[Row]:
    """What each method of HQP and each other tool loses and takes."""
    from hqp.compress.studies.peers import PEERS

    files, size = _ours(context, model)
    plain = files["fp32"]
    test = context.samples(DATASET, "test", size, first=TEST_IMAGES)
    calibration = context.samples(DATASET, "calibration", size).first(CALIBRATION_IMAGES)
    images = calibration.normalised(calibration.read(range(len(calibration)), size))
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, quantise) in enumerate(PEERS.items()):
            files[name] = Path(folder, f"{number}.onnx")
            quantise(plain, images, files[name])
        trained = _judged(context, plain, test, size)
        return [_row(context, name, file, plain, trained, test, size) for name, file in files.items()]


def _ours(context: Context, model: str) -> tuple[dict[str, Path], int]:
    """The file of each method, made where the store does not have it, and the size of its input."""
    files: dict[str, Path] = {}
    size = 0
    for method in METHODS:
        request = Request(Model(model), DATASET, method, DEVICE, DELTA_MAX_PP, test_images=TEST_IMAGES)
        made = artifact(context, resolve(request, context.plugins))
        files[method] = Path(made.path) / artifacts.MODEL
        size = made.sidecar.network.input_size
    return files, size


def _judged(context: Context, file: Path, test: Samples, size: int) -> Accuracy:
    return context.judged(file, DEVICE, test, size).accuracy


def _row(context: Context, name: str, file: Path, plain: Path, trained: Accuracy, test: Samples, size: int) -> Row:
    accuracy = _judged(context, file, test, size)
    drop = drop_pp(trained.correct_images, accuracy.correct_images, CONFIDENCE)
    times = time_pair(context, DEVICE, (sha256_of(plain), plain), file, Protocol(), name)
    faster, median = ratio.speedup(times), ratio.candidate_ms(times)
    return (
        name,
        f"{drop.value:.2f}",
        f"{drop.upper:.2f}",
        f"{median.value:.3f}" if median else "–",
        f"{faster.value:.2f} ({faster.lower:.2f} to {faster.upper:.2f})" if faster else "–",
    )
