"""The stored state of a suite."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hqp.records.canonical import Digest
from hqp.records.data import Accuracy
from hqp.records.measurement import Case, Environment, PairedLatency
from hqp.records.metric import Metric


@dataclass(frozen=True)
class BaselineEntry:
    """What a baseline keeps of one case: the digest of its artefact, and the numbers for the trend.

    ``metrics`` are those of the whole artefact.
    """

    case: Case
    model_sha256: Digest
    model_bytes: int
    sparsity: float
    latency: PairedLatency
    accuracy: Accuracy
    metrics: tuple[Metric, ...]


@dataclass(frozen=True)
class Baseline:
    """The stored state of a suite on one device in one environment."""

    SCHEMA: ClassVar[int] = 2

    schema_version: int
    hqp_version: str
    suite: str
    device: str
    environment: Environment
    date: str
    entries: tuple[BaselineEntry, ...]

    def entry(self, case: Case) -> BaselineEntry | None:
        """The entry of a case, or ``None``."""
        return next((entry for entry in self.entries if entry.case == case), None)
