"""What was measured of a case, and what the gates said of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from hqp.records.artifact import LayerRecord
from hqp.records.canonical import Digest, digest_of
from hqp.records.data import Accuracy
from hqp.records.estimate import Estimate
from hqp.records.metric import Metric, metric_named
from hqp.records.sidecar import Sidecar

Outcome = Literal["pass", "fail", "inconclusive"]


@dataclass(frozen=True)
class Environment:
    """What a number depends on beside the model: hardware, power state, versions, threads."""

    facts: dict[str, str]

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits that name the environment."""
        return digest_of(self.facts)[:12]

    def differing(self, other: Environment) -> tuple[str, ...]:
        """The facts in which two environments differ."""
        keys = sorted(self.facts.keys() | other.facts.keys())
        return tuple(key for key in keys if self.facts.get(key) != other.facts.get(key))

    def differences(self, other: Environment) -> list[str]:
        """``key: mine, theirs`` for each fact in which two environments differ."""
        facts = ((key, self.facts.get(key, "absent"), other.facts.get(key, "absent")) for key in self.differing(other))
        return [f"{key}: {mine}, {theirs}" for key, mine, theirs in facts]


# How many processes a pair is timed in at most, and the chance that a bound of its ratio misses on a side.
MOST_PROCESSES, TAIL = 20, 0.05


@dataclass(frozen=True)
class Block:
    """A fresh pair of sessions timed back to back; the samples are single inferences.

    ``process`` numbers the processes of a run: the blocks of one share its bias. ``state`` is that of the machine
    meanwhile: ``mhz`` and ``celsius`` of the processor, and of one core's time the share ``others_share`` that other
    processes used on the measured cores, and ``waited_share`` in which this one waited for a core. What the system does
    not tell is absent.
    """

    reference_ms: tuple[float, ...]
    candidate_ms: tuple[float, ...]
    process: int = 0
    state: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for samples in (self.reference_ms, self.candidate_ms):
            if not samples or not all(0 < sample < float("inf") for sample in samples):
                raise ValueError("a block holds times above 0 ms on both sides")


@dataclass(frozen=True)
class PairedLatency:
    """Raw samples of a candidate beside a reference, in blocks, of one run on one device.

    The run was planned for at most ``most_processes`` processes, and to bound the ratio with a chance of ``tail`` that
    a bound is wrong: the interval depends on the plan. ``disturbed`` says why blocks were dropped.
    """

    reference_sha256: Digest
    blocks: tuple[Block, ...]
    disturbed: tuple[str, ...] = ()
    most_processes: int = MOST_PROCESSES
    tail: float = TAIL

    @property
    def processes(self) -> int:
        """In how many processes the blocks were timed."""
        return len({block.process for block in self.blocks})

    def with_process(self, blocks: tuple[Block, ...], disturbed: tuple[str, ...]) -> PairedLatency:
        """These samples and those of one process more."""
        return replace(self, blocks=self.blocks + blocks, disturbed=self.disturbed + disturbed)

    @property
    def candidate_ms(self) -> npt.NDArray[np.float64]:
        return np.array([sample for block in self.blocks for sample in block.candidate_ms])

    @property
    def reference_ms(self) -> npt.NDArray[np.float64]:
        return np.array([sample for block in self.blocks for sample in block.reference_ms])


@dataclass(frozen=True)
class Case:
    """A model compressed by a method on a device; its id is ``model-method-device``."""

    model: str
    method: str
    device: str

    def __str__(self) -> str:
        return f"{self.model}-{self.method}-{self.device}"


@dataclass(frozen=True)
class Rerun:
    """What the artefact of a case's baseline does here and now, beside the candidate.

    ``elsewhere`` are the facts in which the environment that recorded it differs from this one. ``missing`` says, where
    its file is not at hand, which file that is and what brings it. ``latency`` and ``accuracy`` are ``None`` until a
    gate needs them. Before a gate says that the candidate is slower, ``confirmation`` times the two again, and
    ``control`` the baseline's artefact beside itself.
    """

    model_sha256: Digest
    elsewhere: tuple[str, ...] = ()
    missing: str = ""
    latency: PairedLatency | None = None
    accuracy: Accuracy | None = None
    confirmation: PairedLatency | None = None
    control: PairedLatency | None = None


@dataclass(frozen=True)
class Measurement:
    """All that was measured of a case: its artefact, beside FP32 of the same model on the same device.

    Where no FP32 file is at hand, ``fp32_accuracy`` is ``None`` and ``latency`` compares the artefact with itself.
    ``metrics`` are what the probes measured: what one of them could not is not among them.
    ``baseline`` is what the artefact of the stored baseline does beside it, where a gate asked for that and a baseline
    was ever recorded. ``skipped_images`` belong to the split that judged, and could not be read.
    ``confirmation`` times the same pair as ``latency`` again, in fresh processes, where a gate failed on ``latency``.
    ``layers`` is the artefact's per-layer record.
    ``fp16_latency`` and ``bf16_latency`` time the artefact beside FP16 and BF16 of the same model, where a gate asked
    for that, and ``fp16_confirmation`` and ``bf16_confirmation`` do so again.
    """

    case: Case
    sidecar: Sidecar
    environment: Environment
    latency: PairedLatency
    accuracy: Accuracy
    fp32_accuracy: Accuracy | None
    fp32_bytes: int
    metrics: tuple[Metric, ...]
    baseline: Rerun | None = None
    skipped_images: tuple[str, ...] = ()
    confirmation: PairedLatency | None = None
    layers: tuple[LayerRecord, ...] = ()
    fp16_latency: PairedLatency | None = None
    fp16_confirmation: PairedLatency | None = None
    bf16_latency: PairedLatency | None = None
    bf16_confirmation: PairedLatency | None = None

    def metric(self, name: str) -> Metric | None:
        """The metric of that name of the whole artefact, or ``None`` where it could not be measured."""
        return metric_named(self.metrics, name)


@dataclass(frozen=True)
class Verdict:
    """What a gate says of a case, in one sentence a reader can act on. ``limits`` are those it judged by."""

    gate: str
    outcome: Outcome
    reason: str
    estimate: Estimate | None
    limits: dict[str, float]


@dataclass(frozen=True)
class Judgement:
    """What a gate said of a case: a verdict, or why there was nothing to judge.

    ``bound`` tells whether the suite's gate binds the case, or its verdict is shown only.
    """

    gate: str
    case: Case
    bound: bool
    verdict: Verdict | None
    skipped: str | None = None


@dataclass(frozen=True)
class Against:
    """The baseline that the cases of a device were judged against: its file, its date, and the commit it stands in.

    ``commit`` is ``None`` where the file is in none, or is no longer as it was committed.
    """

    device: str
    path: str
    date: str
    commit: str | None

    def __str__(self) -> str:
        stands = f"commit {self.commit}" if self.commit else "not committed"
        return f"{self.device}: {self.path} of {self.date}, {stands}"


@dataclass(frozen=True)
class Results:
    """A run of a suite, from which every report can be made anew."""

    SCHEMA: ClassVar[int] = 2

    schema_version: int
    hqp_version: str
    suite: str
    question: str
    date: str
    command: str
    machine: dict[str, str]
    measurements: tuple[Measurement, ...]
    judgements: tuple[Judgement, ...]
    against: tuple[Against, ...] = ()
