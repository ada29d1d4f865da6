"""Factories of records for tests: each gives a whole, consistent record, and takes the fields that matter by name."""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from hqp.errors import HqpError
from hqp.records import (
    MOST_PROCESSES,
    Accuracies,
    Accuracy,
    Block,
    Calibrated,
    Case,
    Choices,
    Cost,
    Environment,
    Estimate,
    Filters,
    ImagesUsed,
    Judgement,
    Measurement,
    Metric,
    ModelFile,
    Network,
    Origin,
    PairedLatency,
    Policy,
    Reading,
    Recipe,
    Results,
    Settings,
    Sidecar,
    Spent,
    Targets,
    Verdict,
)
from hqp.transport import Completed

Images = npt.NDArray[np.float32]


@pytest.fixture
def data_root() -> Path:
    """The folder that HQP_DATA names, with the CIFAR-10 tars in it."""
    root = os.environ.get("HQP_DATA")
    if not root or not list(Path(root).glob("cifar10*train.tar")):
        pytest.skip("HQP_DATA names no folder with cifar10*train.tar and cifar10*test.tar")
    return Path(root)


def accuracy_of(hits: Sequence[bool], split: str = "test", digest: str = "d" * 64) -> Accuracy:
    right = np.asarray(hits, dtype=bool)
    total, correct = len(right), int(right.sum())
    packed = base64.b64encode(np.packbits(right).tobytes()).decode()
    return Accuracy(split, digest, total, correct, (total + correct) // 2, packed)


def latency_of(reference_ms: Sequence[Sequence[float]], candidate_ms: Sequence[Sequence[float]]) -> PairedLatency:
    pairs = enumerate(zip(reference_ms, candidate_ms, strict=True))
    blocks = tuple(Block(tuple(a), tuple(b), process) for process, (a, b) in pairs)
    return PairedLatency("f" * 64, blocks, most_processes=max(MOST_PROCESSES, len(blocks)))


def hits_with(lost: int, gained: int = 0, total: int = 20_000) -> tuple[Accuracy, Accuracy]:
    """FP32 and candidate on ``total`` images, the last 10 of which both miss."""
    reference, candidate = np.ones(total, dtype=bool), np.ones(total, dtype=bool)
    reference[:gained], candidate[gained : gained + lost] = False, False
    reference[-10:] = candidate[-10:] = False
    return accuracy_of(reference), accuracy_of(candidate)


def sidecar_of(**changes: Any) -> Sidecar:
    dense, kept = accuracy_of([True] * 19 + [False], "selection"), accuracy_of([True] * 18 + [False] * 2, "selection")
    whole = Sidecar(
        schema_version=Sidecar.SCHEMA,
        network=Network("resnet18", "resnet18", "a" * 64, input_size=96, num_classes=32),
        images=ImagesUsed(
            dataset="signs",
            reading=Reading(held_out=True),
            mean=(0.5, 0.5, 0.5),
            std=(0.25, 0.25, 0.25),
            split_digests={"calibration": "c" * 64, "selection": "d" * 64},
            skipped=(),
        ),
        settings=Settings("hqp", Recipe(), seed=0, delta_max_pp=1.5, targets=Targets()),
        file=ModelFile("b" * 64, 8_000_000, parameters=7_900_000, macs=210_000_000),
        fp32_file=ModelFile("e" * 64, 44_800_000, parameters=11_200_000, macs=334_000_000),
        weights_sha256="9" * 64,
        filters=Filters(total=4800, kept=3600, inner=1920, inner_kept=960),
        choices=Choices("fisher", 30, 30, None, Calibrated("kl", {"kl": 0.01, "minmax": 0.02}), Policy()),
        accuracy=Accuracies(dense, kept, kept),
        certificate=None,
        notes=(),
        spent=Spent((Cost("sensitivity", 5000, 1, 12.5), Cost("pruning", 60_000, 12, 40.0)), None),
        origin=Origin("0.1.0", {"torch": "2.9.0", "onnx": "1.18.0"}, "onnxruntime"),
    )
    return changed(whole, changes)


def changed(sidecar: Sidecar, changes: dict[str, Any]) -> Sidecar:
    """The sidecar with other values; one of a part is named as ``file__size_bytes``."""
    for name, value in changes.items():
        part, _, field = name.partition("__")
        if field:
            value = replace(getattr(sidecar, part), **{field: value})
        sidecar = replace(sidecar, **{part: value})
    return sidecar


def measurement_of(**changes: Any) -> Measurement:
    reference, candidate = hits_with(lost=200, gained=100)
    rng = np.random.default_rng(0)
    whole = Measurement(
        case=Case("resnet18", "hqp", "cpu_openvino"),
        sidecar=sidecar_of(),
        environment=Environment({"machine": "x86_64", "governor": "performance", "openvino": "2025.2"}),
        latency=latency_of(rng.normal(5, 0.05, (20, 5)).tolist(), rng.normal(2, 0.02, (20, 5)).tolist()),
        accuracy=candidate,
        fp32_accuracy=reference,
        fp32_bytes=44_800_000,
        metrics=(Metric("peak_memory", "bytes", (120_000_000,)),),
    )
    return replace(whole, **changes)


def judgement_of(measurement: Measurement, gate: str, outcome: Any, *, bound: bool = True) -> Judgement:
    verdict = Verdict(gate, outcome, f"{gate} says {outcome}", Estimate(1.0, 0.5, 1.5, 0.9), {"limit": 1.0})
    return Judgement(verdict.gate, measurement.case, bound, verdict)


def results_of(*measurements: Measurement, judgements: tuple[Judgement, ...] = (), **changes: Any) -> Results:
    whole = Results(
        schema_version=Results.SCHEMA,
        hqp_version="0.1.0",
        suite="signs",
        question="Is it small and fast enough?",
        date="2026-03-01 12:00 UTC",
        command="pytest suites/signs.py",
        machine={"cpu": "a processor", "cores": "2", "system": "Linux"},
        measurements=measurements,
        judgements=judgements,
    )
    return replace(whole, **changes)


@dataclass(frozen=True)
class FolderHost:
    """Another machine: its files lie under ``root``, and it knows the commands of ``says``, by their words."""

    root: Path
    says: Mapping[str, str] = field(default_factory=dict)
    name: str = "user@board"
    asked: list[str] = field(default_factory=list)

    def run(self, command: Sequence[str], *, timeout_s: float | None = None) -> Completed:
        words = " ".join(command)
        self.asked.append(words)
        if words not in self.says:
            raise HqpError(f"there is no program '{command[0]}' on {self.name}")
        return Completed(self.says[words], "", 0.0)

    def read(self, path: str) -> str:
        self.asked.append(path)
        try:
            return (self.root / path.lstrip("/")).read_text()
        except OSError as error:
            raise HqpError(f"{path} cannot be read on {self.name}: {error.strerror}") from None

    def send(self, local: Path, remote: str) -> None:
        shutil.copyfile(local, self.root / remote.lstrip("/"))

    def fetch(self, remote: str, local: Path) -> None:
        shutil.copyfile(self.root / remote.lstrip("/"), local)


@pytest.fixture
def make_host(tmp_path: Path) -> Callable[..., FolderHost]:
    """``make_host({"proc/loadavg": "…"}, says={"uname -m": "aarch64"})``: another machine with these files."""

    def make(files: Mapping[str, str], says: Mapping[str, str] | None = None, folder: str = "board") -> FolderHost:
        for name, text in files.items():
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return FolderHost(tmp_path / folder, says or {})

    return make


@pytest.fixture(scope="session")
def make_accuracy() -> Callable[..., Accuracy]:
    """``make_accuracy(hits, split="test", digest=…)``: the accuracy whose images were right as ``hits`` says."""
    return accuracy_of


@pytest.fixture(scope="session")
def make_latency() -> Callable[..., PairedLatency]:
    """``make_latency(reference_ms, candidate_ms)``: a block a process, both of shape (blocks, samples)."""
    return latency_of


@pytest.fixture(scope="session")
def make_hits() -> Callable[..., tuple[Accuracy, Accuracy]]:
    """``make_hits(lost, gained=0, total=20_000)``: accuracies of FP32 and of a candidate that differ by so many."""
    return hits_with


@pytest.fixture(scope="session")
def make_sidecar() -> Callable[..., Sidecar]:
    """``make_sidecar(**changes)``: a pruned and quantised ResNet-18; ``file__size_bytes=1`` changes a part."""
    return sidecar_of


@pytest.fixture(scope="session")
def make_measurement() -> Callable[..., Measurement]:
    """``make_measurement(**changes)``: ``resnet18-hqp-cpu_openvino``, 2.5 times as fast, 0.5 points lost."""
    return measurement_of


@pytest.fixture(scope="session")
def make_judgement() -> Callable[..., Judgement]:
    """``make_judgement(measurement, gate, outcome, bound=True)``."""
    return judgement_of


@pytest.fixture(scope="session")
def make_results() -> Callable[..., Results]:
    """``make_results(*measurements, judgements=(), **changes)``: a run of the suite ``signs``."""
    return results_of


# A pair is timed in many fresh processes until its ratio is known, which nothing but times depends on.
ONE_PROCESS = """
from hqp.run.measuring import Protocol

Protocol.processes = property(lambda self: 1)
"""


@pytest.fixture(scope="session")
def one_process(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a module ``one_process``: whoever imports it times each pair in one process."""
    folder = tmp_path_factory.mktemp("one_process")
    (folder / "one_process.py").write_text(ONE_PROCESS)
    return folder


@pytest.fixture(scope="session")
def noise() -> Images:
    """Twenty normalised images of 12 x 12 pixels."""
    return np.random.default_rng(3).standard_normal((20, 3, 12, 12), np.float32)


@pytest.fixture(scope="session")
def quantised(tmp_path_factory: pytest.TempPathFactory, noise: Images) -> Path:
    """The INT8 file of two convolutions and a linear layer for those images, beside its ``fp32.onnx``."""
    import torch
    from torch import nn

    from hqp.compress.exporting.export import export
    from hqp.compress.quantisation import calibrate, thresholds
    from hqp.compress.quantisation.qdq import quantize

    torch.manual_seed(1)
    body = (nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.ReLU())
    network = nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)).eval()
    folder, policy = tmp_path_factory.mktemp("quantised"), Policy(float_results=True)
    export(network, 12, folder / "fp32.onnx")
    seen = calibrate.distributions(folder / "fp32.onnx", lambda: [noise], policy)
    quantize(folder / "fp32.onnx", folder / "int8.onnx", thresholds.ranges(seen, "minmax", policy), policy)
    return folder / "int8.onnx"
