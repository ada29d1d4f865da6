"""The contents of ``hqp.json``, which lies beside a model and says what the model is and what made it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from hqp.records.artifact import Calibrated, Certificate, Cost, Exported, Recovered
from hqp.records.budget import Budget
from hqp.records.canonical import Digest
from hqp.records.data import Accuracy
from hqp.records.dense import BesideDense
from hqp.records.method import Objective, Policy, Recipe, Targets
from hqp.records.precisions import Precisions
from hqp.records.pruning import Simplified
from hqp.records.ranges import Count, Deviation, Pixels, Points, Share, Some
from hqp.records.reading import Reading


@dataclass(frozen=True)
class Network:
    """The trained network that was compressed. ``source`` builds the model that ``name`` names."""

    name: str
    source: str
    checkpoint_sha256: Digest
    input_size: Pixels
    num_classes: Some


@dataclass(frozen=True)
class ImagesUsed:
    """The images that an artefact was made with, and how they became the network's input.

    ``mean`` and ``std`` are those that normalised them, whoever named these. ``split_digests`` name the images of each
    split that was used, of ``test`` those that certified. ``skipped`` are those of them which could not be read.
    """

    dataset: str
    reading: Reading
    mean: tuple[float, float, float]
    std: tuple[Deviation, Deviation, Deviation]
    split_digests: dict[str, Digest]
    skipped: tuple[str, ...]


@dataclass(frozen=True)
class Settings:
    """What the user asked for: by which method, how much accuracy may be lost, and which targets to reach."""

    method: str
    recipe: Recipe
    seed: Count
    delta_max_pp: Points
    targets: Targets


@dataclass(frozen=True)
class ModelFile:
    """An ONNX file: which one it is, how large, and what one inference takes."""

    sha256: Digest
    size_bytes: Some
    parameters: Count
    macs: Count


@dataclass(frozen=True)
class Filters:
    """How many filters the trained network has and how many are left, those of its output layer not counted.

    ``inner`` are the filters that no residual sum ties to those of another layer.
    """

    total: Some
    kept: Count
    inner: Count
    inner_kept: Count

    def __post_init__(self) -> None:
        if self.kept > self.total or self.inner_kept > self.inner:
            raise ValueError("more filters are kept than there were")

    @property
    def sparsity(self) -> float:
        """θ, the share of all filters that was removed."""
        return (self.total - self.kept) / self.total

    @property
    def inner_sparsity(self) -> float | None:
        """θ of the inner filters alone; ``None`` where there are none, or nothing was to be pruned."""
        return (self.inner - self.inner_kept) / self.inner if self.inner else None


@dataclass(frozen=True)
class Compared:
    """What the candidate that a ranking found has of what decided between several: its ``value`` of ``by``.

    ``blocks`` is in the place of how many blocks something simpler stands.
    """

    ranking: str
    sparsity: Share
    by: Objective
    value: float
    blocks: Count = 0

    def __str__(self) -> str:
        without = f" without {self.blocks} blocks" if self.blocks else ""
        return f"{self.ranking}{without} {self.value:,.4g} at θ {self.sparsity:.1%}"


@dataclass(frozen=True)
class Choices:
    """What was chosen among the possibilities that the recipe allows.

    ``accepted_steps`` are the pruning steps that ``selection`` accepts, ``shipped_steps`` those of the file: fewer
    where verification or the certificate gave some back, more where the certificate went beyond. A choice that did not
    arise is ``None``: the ranking of a method that prunes nothing, the calibration of one that does not quantise.
    ``simplified`` are the blocks that became something simpler, the least loss for the time that it saves first.
    ``compared`` says of what several rankings found how the best was told, and is empty where there was one to take.
    ``dense`` says how fast the dense network is beside the file, and whether it stands in that one's place.
    """

    ranking: str | None
    accepted_steps: Count
    shipped_steps: Count
    recovered: Recovered | None
    calibrated: Calibrated | None
    policy: Policy | None
    compared: tuple[Compared, ...] = ()
    precisions: Precisions | None = None
    simplified: tuple[Simplified, ...] = ()
    dense: BesideDense | None = None


@dataclass(frozen=True)
class Accuracies:
    """The accuracy on ``selection`` of the trained model, of the pruned one before INT8, and of the shipped file."""

    fp32: Accuracy
    pruned: Accuracy | None
    shipped: Accuracy | None


Judge = Literal["module", "file", "certificate"]


@dataclass(frozen=True)
class Tried:
    """A candidate that was judged on the way to the file: at which θ, what it lost, and whether that was allowed.

    ``judged`` says how: a ``module`` in PyTorch and a ``file`` in the runtime, both on ``selection``, or a file for its
    ``certificate`` on ``test``. ``drop_pp`` is absent where the pass ended before its end, as soon as the bound was
    certain to break, and ``upper_pp`` where the drop itself is what is bounded.
    """

    judged: Judge
    sparsity: Share
    drop_pp: float | None
    upper_pp: float | None
    held: bool


@dataclass(frozen=True)
class Spent:
    """What making the artefact took, and what quantisation-aware training is estimated to take."""

    steps: tuple[Cost, ...]
    qat: Cost | None

    @property
    def seconds(self) -> float:
        """What all steps took."""
        return sum(cost.seconds for cost in self.steps)

    @property
    def share_of_qat(self) -> float | None:
        """The seconds over those of quantisation-aware training, where these were estimated."""
        return self.seconds / self.qat.seconds if self.qat else None


@dataclass(frozen=True)
class Origin:
    """The software that made the artefact, and where the file was verified: ``verified_in`` names the device.

    ``standing_in_for`` is the runtime that the artefact is made for, where another device's judged the file, and
    ``exporter`` the one of PyTorch's that wrote it, empty in an artefact of an HQP that had one alone.
    """

    hqp_version: str
    versions: dict[str, str]
    verified_in: str
    standing_in_for: str = ""
    exporter: str = ""


@dataclass(frozen=True)
class Sidecar:
    """What an artefact is, how it was made, and how good it is.

    ``file`` is the model that is shipped, and ``fp32_file`` the trained one as it was exported. ``weights_sha256``
    is the digest of ``weights.safetensors``, what is shipped before it was quantised, as PyTorch has it. ``notes`` are
    sentences that the user should know: that the file breaks the bound, or why nothing was removed. ``exports`` are the
    other formats that it was written in, and ``tried`` the candidates that were judged, in this order.
    ``budget`` says how the points that may be lost were spent.
    """

    SCHEMA: ClassVar[int] = 2

    schema_version: int
    network: Network
    images: ImagesUsed
    settings: Settings
    file: ModelFile
    fp32_file: ModelFile
    weights_sha256: Digest
    filters: Filters
    choices: Choices
    accuracy: Accuracies
    certificate: Certificate | None
    notes: tuple[str, ...]
    spent: Spent
    origin: Origin
    exports: tuple[Exported, ...] = ()
    tried: tuple[Tried, ...] = ()
    budget: Budget | None = None

    @property
    def compression_ratio(self) -> float:
        """Bytes of the FP32 file over those of the shipped one: how many times smaller it is."""
        return self.fp32_file.size_bytes / self.file.size_bytes


@dataclass(frozen=True)
class Artifact:
    """A directory with ``model.onnx``, its sidecar ``hqp.json`` and the per-layer record ``layers.json``."""

    path: str
    sidecar: Sidecar
