"""A candidate is a value: all that tells one way to make the trained model smaller from another."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from hqp.compress.channels.groups import Removal
from hqp.records import (
    Calibration,
    FineTuning,
    Floats,
    Policy,
    Precision,
    Quantization,
    Recovery,
    Replaced,
    digest_of,
)


@dataclass(frozen=True)
class Quantised:
    """How a file is quantised: by which of several calibrations, and what precision the device wants of each layer."""

    how: Quantization
    policy: Policy

    def __hash__(self) -> int:
        # A policy names layers in a mapping, which has no hash of its own.
        return hash((self.how, digest_of(asdict(self.policy))))


@dataclass(frozen=True)
class Tuning:
    """Which training gave a candidate its weights: how it was trained, from the weights of which other candidate."""

    before: Candidate
    how: FineTuning


@dataclass(frozen=True)
class Candidate:
    """The trained model without some channels and blocks, and what makes up for them; by default the model itself.

    Two candidates are equal where they are made alike, so that what was made of one is that of the other.
    """

    # The channels that are gone, by group, sorted: a mapping cannot be looked up by.
    gone: tuple[tuple[str, tuple[int, ...]], ...] = ()
    # The blocks that became something simpler, before any channel went.
    replaced: tuple[Replaced, ...] = ()
    # What is done for the layers that lost channels, without training.
    recovery: Recovery | None = None
    # Where there is none, the weights are those of the trained model.
    tuning: Tuning | None = None
    # Where there is none, the file is of one precision throughout.
    quantised: Quantised | None = None
    precision: Floats = "fp32"

    @classmethod
    def without(
        cls,
        removal: Removal,
        recovery: Recovery | None = None,
        tuning: Tuning | None = None,
        quantised: Quantised | None = None,
        precision: Floats = "fp32",
        replaced: tuple[Replaced, ...] = (),
    ) -> Candidate:
        """The candidate without these channels; with all channels there is nothing to recover."""
        gone = tuple(sorted((group, tuple(channels)) for group, channels in removal.items()))
        return cls(gone, replaced, recovery if gone else None, tuning, quantised, precision)

    @property
    def removal(self) -> Removal:
        """The channels that are gone, by group."""
        return dict(self.gone)

    @property
    def in_fp32(self) -> Candidate:
        """The candidate in FP32: its module depends on nothing else."""
        return replace(self, quantised=None, precision="fp32")

    def calibrated_by(self, calibration: Calibration) -> Candidate:
        """The candidate quantised by this calibration alone."""
        assert self.quantised is not None
        how = replace(self.quantised.how, calibrations=(calibration,))
        return replace(self, quantised=replace(self.quantised, how=how))

    @property
    def policy(self) -> Policy | None:
        """How the device wants its INT8; ``None`` where nothing is quantised."""
        return self.quantised.policy if self.quantised else None

    def precision_of(self, layer: str) -> Precision:
        """The precision that a layer has in the file."""
        return self.quantised.policy.precision_of(layer) if self.quantised else self.precision


# The trained model as it is, in FP32.
TRAINED = Candidate()
