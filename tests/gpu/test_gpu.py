"""The path from a device to its engine, its clock and its energy, on a real NVIDIA GPU: `nox -s gpu`, within 8 minutes.

Each test is skipped, with the reason, where what it needs is not there. How far an engine may be from the stand-in that
judged its file is stated here: in FP32 and FP16 by rounding, in INT8 by a step of its activations now and then.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torchvision

from hqp import catalog, nvml, typings
from hqp.compress.exporting.export import export
from hqp.compress.quantisation import calibrate, qdq, thresholds
from hqp.compress.ranking.sensitivity import sensitivities
from hqp.errors import HqpError
from hqp.probes import Target, energy
from hqp.records import Device
from hqp.runtimes import onnxruntime
from hqp.transport import HERE

# Before the network is made, which takes longer than to see that there is nothing to run it on.
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no NVIDIA GPU that torch knows")

SIZE, IMAGES = 64, 64
# The largest distance of a logit, as a share of the largest logit, by the precision of the file.
FARTHEST = {"fp32": 2e-3, "fp16": 2e-2, "int8": 1e-1}
TIMED = 200


def device_of(name: str) -> tuple[Device, ModuleType]:
    """A device whose runtime runs here; skips the test where it does not."""
    device = catalog.find("devices", name).device
    runtime = catalog.find("runtimes", device.runtime)
    absent = catalog.missing(runtime)
    if absent:
        pytest.skip(f"{name} needs {', '.join(absent)}")
    try:
        runtime.version(HERE)
    except HqpError as error:
        pytest.skip(error.wrong)
    return device, runtime


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """ResNet-18 with weights that tell images apart, by precision."""
    folder = tmp_path_factory.mktemp("network")
    torch.manual_seed(0)
    network = torchvision.models.resnet18(num_classes=10).train()
    with torch.no_grad():
        for _ in range(5):
            network(torch.randn(16, 3, SIZE, SIZE))
    made = {precision: folder / f"{precision}.onnx" for precision in FARTHEST}
    export(network.eval(), SIZE, made["fp32"])
    typings.typed(made["fp32"], made["fp16"])
    policy = catalog.find("devices", "cuda_tensorrt").device.policy
    ranges = thresholds.ranges(calibrate.distributions(made["fp32"], lambda: [images()], policy), "minmax", policy)
    qdq.quantize(made["fp32"], made["int8"], ranges, policy)
    return made


def images() -> npt.NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((IMAGES, 3, SIZE, SIZE), dtype=np.float32)


def judged_by_the_stand_in(file: Path) -> npt.NDArray[np.float32]:
    with onnxruntime.Session(file, catalog.find("devices", "cpu_onnxruntime_qdq").device) as session:
        return session.outputs(images())


CASES = [(name, precision) for name in ("cuda_onnxruntime", "cuda_tensorrt") for precision in FARTHEST]


@pytest.mark.parametrize(("name", "precision"), CASES)
def test_a_device_gives_what_its_stand_in_gives_and_tells_times(
    name: str, precision: str, files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    device, runtime = device_of(name)
    if precision not in device.precisions:
        pytest.skip(f"{name} has no {precision}")
    file = files[precision]
    prepared = runtime.prepare(file, device, tmp_path) if hasattr(runtime, "prepare") else file
    expected = judged_by_the_stand_in(file)
    with runtime.Session(prepared, device) as session:
        found = session.outputs(images())
        session.time(TIMED)
        times_ms = session.time(TIMED)
    farthest = np.abs(found - expected).max() / np.abs(expected).max()
    agreeing = (found.argmax(1) == expected.argmax(1)).mean()
    with capsys.disabled():
        told = f"farthest logit {farthest:.2%}, top-1 agrees on {agreeing:.0%}, median {np.median(times_ms):.3f} ms"
        print(f"\n{name} {precision}: {told}")
    assert farthest <= FARTHEST[precision]
    assert len(times_ms) == TIMED and min(times_ms) > 0


def test_energy_is_measured_over_whole_windows(files: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    device, runtime = device_of("cuda_onnxruntime")
    if nvml.meter(HERE, device.rails) is None:
        pytest.skip("the driver measures no power")
    target = Target(files["fp32"], device, HERE, runtime, True, lambda: runtime.Session(files["fp32"], device))
    metrics = {metric.name: metric for metric in energy.measure(target)}
    with capsys.disabled():
        print(f"\n{ {name: (metric.unit, metric.samples) for name, metric in metrics.items()} }")
    assert metrics.keys() == {"energy", "power"}
    assert len(metrics["energy"].samples) >= 2 and min(metrics["power"].samples) > 1000


def test_sensitivities_on_cuda_are_those_of_the_cpu() -> None:
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.manual_seed(0)
    network = torchvision.models.resnet18(num_classes=10).eval()
    batch = (torch.from_numpy(images()[:16]), torch.arange(16) % 10)
    here: Any = sensitivities(network, [batch])
    there: Any = sensitivities(network.cuda(), [batch])
    assert here.fisher.keys() == there.fisher.keys()
    for layer, expected in here.fisher.items():
        np.testing.assert_allclose(there.fisher[layer], expected, rtol=1e-2, atol=1e-3 * expected.max())
