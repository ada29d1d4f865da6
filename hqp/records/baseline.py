"""The stored state of a suite."""

from __future__ import annotations

from dataclasses import dataclass

from hqp.records.canonical import Digest
from hqp.records.data import Accuracy
from hqp.records.measurement import Case, Environment, PairedLatency


@dataclass(frozen=True)
class BaselineEntry:
    """What a baseline keeps of one case: the digest of its artefact, and the numbers for the trend."""

    case: Case
    model_sha256: Digest
    model_bytes: int
    sparsity: float
    latency: PairedLatency
    accuracy: Accuracy


@dataclass(frozen=True)
class Baseline:
    """The stored state of a suite on one device in one environment."""

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
