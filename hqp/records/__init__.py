"""Frozen values that cross layers.

A number carries its unit in its name; a ratio lies in 0 to 1 unless its docstring says otherwise; accuracy
points end in ``_pp``. What could not be measured is ``None``, never zero.
"""

from hqp.records.artifact import Artifact, Calibrated, Certificate, Cost, Judged, LayerRecord, Recovered, Sidecar
from hqp.records.baseline import Baseline, BaselineEntry
from hqp.records.canonical import SCHEMA_VERSION, Digest, digest_of, is_digest
from hqp.records.data import JUDGING, SPLITS, Accuracy, Leak, Samples
from hqp.records.device import Device
from hqp.records.limit import Limit
from hqp.records.measurement import (
    Block,
    Case,
    Environment,
    Estimate,
    Judgement,
    Measurement,
    Outcome,
    PairedLatency,
    Rerun,
    Results,
    Verdict,
)
from hqp.records.method import (
    VARIANTS,
    Calibration,
    FineTuning,
    LayerPrecision,
    Option,
    Policy,
    Pruning,
    Quantization,
    Ranking,
    Recipe,
    Recovery,
    Rounds,
    Targets,
    Variant,
)
from hqp.records.metric import Metric, in_readable_unit, metric_named, words_of
from hqp.records.pruning import Group, Member, Statistics
from hqp.records.ranges import LARGEST_INPUT, SMALLEST_INPUT
from hqp.records.reading import DEFAULT_READING, WHOLE, Interpolation, Reading, triple_text

__all__ = [
    "DEFAULT_READING",
    "JUDGING",
    "LARGEST_INPUT",
    "SCHEMA_VERSION",
    "SMALLEST_INPUT",
    "SPLITS",
    "VARIANTS",
    "WHOLE",
    "Accuracy",
    "Artifact",
    "Baseline",
    "BaselineEntry",
    "Block",
    "Calibrated",
    "Calibration",
    "Case",
    "Certificate",
    "Cost",
    "Device",
    "Digest",
    "Environment",
    "Estimate",
    "FineTuning",
    "Group",
    "Interpolation",
    "Judged",
    "Judgement",
    "LayerPrecision",
    "LayerRecord",
    "Leak",
    "Limit",
    "Measurement",
    "Member",
    "Metric",
    "Option",
    "Outcome",
    "PairedLatency",
    "Policy",
    "Pruning",
    "Quantization",
    "Ranking",
    "Reading",
    "Recipe",
    "Recovered",
    "Recovery",
    "Rerun",
    "Results",
    "Rounds",
    "Samples",
    "Sidecar",
    "Statistics",
    "Targets",
    "Variant",
    "Verdict",
    "digest_of",
    "in_readable_unit",
    "is_digest",
    "metric_named",
    "triple_text",
    "words_of",
]
