"""The JSON files that ``trtexec`` exports: times of single inferences, outputs, times by layer, what a layer became."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hqp.errors import HqpError

NUMBER = r"(-?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|inf|nan))"
# Layer names are written without JSON's escapes, so that one with a quote in it makes the file no JSON.
LAYER_TIME = re.compile(rf'\{{ "name" : "(.*)", "timeMs" : {NUMBER}, "averageMs" : {NUMBER}, .*\}}')
LAYER_COUNT = re.compile(r'\{ "count" : (\d+) \}')
# What C++ writes where Python's reader wants `Infinity` and `NaN`.
NOT_FINITE = re.compile(r'(?<![\w"-])(-?)(?:inf|nan)\b(?!")')


@dataclass(frozen=True)
class Inference:
    """One inference: when it began, in ms since the run's start, and what the GPU took for it."""

    start_ms: float
    compute_ms: float


@dataclass(frozen=True)
class LayerTime:
    """What one layer of an engine took on average, in ms."""

    name: str
    average_ms: float


@dataclass(frozen=True)
class Layer:
    """One layer of an engine as the inspector tells it; ``weights`` is their type, empty where it has none."""

    name: str
    kind: str
    weights: str


def inferences(text: str) -> tuple[Inference, ...]:
    """The inferences of an ``--exportTimes`` file, in their order.

    Raises:
        HqpError: the file is cut off, or none of trtexec's.
    """
    rows = _json(NOT_FINITE.sub(r"\1Infinity", text), "--exportTimes")
    if not isinstance(rows, list):
        raise _unreadable("--exportTimes", "it is no list")
    try:
        return tuple(Inference(float(row["startComputeMs"]), float(row["computeMs"])) for row in rows)
    except (TypeError, KeyError, ValueError):
        raise _unreadable("--exportTimes", "a row lacks startComputeMs or computeMs") from None


def measured_ms(text: str, warmup_ms: float) -> list[float]:
    """The times, in ms, of the inferences that began after the warm-up, which TensorRT 8.2 and 8.4 export too."""
    return [one.compute_ms for one in inferences(text) if one.start_ms >= warmup_ms]


def outputs(text: str, rows: int) -> npt.NDArray[np.float32]:
    """The one output of an ``--exportOutput`` file, as (rows, columns).

    Raises:
        HqpError: the file is cut off, holds several outputs, or not that many rows of finite numbers.
    """
    bindings = _json(NOT_FINITE.sub(r"\1Infinity", text), "--exportOutput")
    if not isinstance(bindings, list) or len(bindings) != 1 or not isinstance(bindings[0], dict):
        raise _unreadable("--exportOutput", "it does not hold one output")
    try:
        values = np.asarray(bindings[0]["values"], np.float32)
    except (KeyError, TypeError, ValueError):
        raise _unreadable("--exportOutput", "its values are no numbers") from None
    if values.ndim != 1 or values.size == 0 or values.size % rows:
        raise _unreadable("--exportOutput", f"it holds {values.size} values for {rows} images")
    if not np.isfinite(values).all():
        raise HqpError(
            "the engine gives logits that are not finite", "the same file in FP32, to see where it overflows"
        )
    return values.reshape(rows, -1)


def layer_times(text: str) -> tuple[LayerTime, ...]:
    """The layers of an ``--exportProfile`` file, in the engine's order; those of no finite time are left out.

    Raises:
        HqpError: the file is none of trtexec's.
    """
    if LAYER_COUNT.search(text) is None:
        raise _unreadable("--exportProfile", "it does not tell of how many runs it is")
    found = (LayerTime(name, float(average)) for name, _, average in LAYER_TIME.findall(text))
    return tuple(layer for layer in found if math.isfinite(layer.average_ms))


def layers(text: str) -> tuple[Layer, ...]:
    """The layers of an ``--exportLayerInfo`` file.

    Without ``--profilingVerbosity=detailed`` at building it holds names alone: their kind and weights are empty.

    Raises:
        HqpError: the file is cut off, or none of trtexec's.
    """
    told = _json(text, "--exportLayerInfo")
    if not isinstance(told, dict) or not isinstance(told.get("Layers"), list):
        raise _unreadable("--exportLayerInfo", "it lists no layers")
    return tuple(_layer(entry) for entry in told["Layers"])


def _layer(entry: Any) -> Layer:
    if not isinstance(entry, dict):
        return Layer(str(entry), "", "")
    weights = entry.get("Weights")
    kind = weights.get("Type", "") if isinstance(weights, dict) else ""
    return Layer(str(entry.get("Name", "")), str(entry.get("LayerType", "")), str(kind))


def _json(text: str, option: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise _unreadable(option, "it is cut off or no JSON") from None


def _unreadable(option: str, reason: str) -> HqpError:
    return HqpError(f"trtexec's {option} file cannot be read: {reason}", "a run that ends, on a disk that is not full")
