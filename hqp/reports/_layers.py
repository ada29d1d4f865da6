"""The layers of an artefact before and after compression, and what each takes by the runtime's own profiler.

A profiler tells times by operator of the compiled network. What a runtime fuses counts for the layer whose convolution
or matrix product the operator's name holds. All else belongs to no layer (additions, pooling, and what the runtime
adds: reorders, requantisation, activations of their own) and is told beside the layer after which it runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from hqp.onnx_rules import layer_of
from hqp.records import LayerRecord, Measurement, Metric, in_readable_unit, words_of
from hqp.reports._layout import ABSENT, Section, number

# The probe whose metrics are of single operators.
OPERATOR_TIME = "operator_time"
# What exporters call the network's output, and OpenVINO the operator that gives it: the last layer.
OUTPUT = "logits"

# An operator that runs a layer, by the name of its node: what is fused stands behind a plus, and what runtimes append
# to a name is `/WithoutBiases` or `_token_5`. A name that goes on otherwise is of an operator beside the layer.
LAYER = re.compile(r"(/\S+/(?:Conv|Gemm|MatMul)(?:_\d+)?)(?:/\S*|_token_\d+)?")
# OpenVINO calls a reorder after what it reorders, and from which layout into which.
REORDER = re.compile(r"_([a-z]{3,6})_([a-z]{3,6})_")
# What TensorRT calls a reorder begins so.
REFORMATS = "Reformatting"
# The operator's kind in its name: `Mul_487`, `/relu/Relu_output_0_QuantizeLinear`, `ReorderInput_token_57`.
QUANTISES = re.compile(r"(?:Quantize|Dequantize)Linear")
KIND = re.compile(r"[A-Za-z]+")


@dataclass
class Times:
    """What the operators of one layer take, in ms, and those that run after it before another layer does, by kind."""

    own_ms: float = 0.0
    after_ms: dict[str, float] = field(default_factory=dict)


def layers(measurement: Measurement) -> Section:
    """The layers of an artefact, with the share of its latency that each has where the runtime tells."""
    headers = ["layer", "channels", "kept", "S", "S kept", "R", "R kept", "precision"]
    rows = [_record(layer) for layer in measurement.layers]
    lines = ["S: the mean sensitivity of its filters; R: the range of its weights"]
    timed = _times(measurement)
    if timed:
        headers += ["ms", "% of time", "then, ms"]
        rows = _with_times(measurement.layers, rows, timed)
        lines.append(
            "ms: the layer by the runtime's own profiler, with what is fused into it; then: what runs after it that"
            " belongs to no layer, reorders and requantisation among it"
        )
    title = f"layers of {measurement.case.method} on {measurement.case.device}"
    return Section(
        title, tuple(headers), tuple(rows), tuple(lines), 1, model=measurement.case.model, trailing=1 if timed else 0
    )


def parts(measurement: Measurement) -> Iterator[Section]:
    """What the probes measured of the parts of an artefact, the largest first, where its layers do not tell it."""
    of_parts = [metric for metric in measurement.metrics if metric.of]
    for name in dict.fromkeys(metric.name for metric in of_parts):
        if name == OPERATOR_TIME and measurement.layers:
            continue
        largest_first = sorted(
            (metric for metric in of_parts if metric.name == name), key=lambda metric: -metric.median
        )
        total = sum(metric.median for metric in largest_first)
        rows = tuple((metric.of, *_of_total(metric, total)) for metric in largest_first)
        _, told_in = in_readable_unit(0, largest_first[0].unit)
        title = f"{words_of(name)} of {measurement.case.method} on {measurement.case.device}"
        yield Section(title, ("part", told_in, "%"), rows, texts=1, model=measurement.case.model)


def layer_in(operator: str) -> str:
    """The layer that an operator runs, or ``""`` where it runs none."""
    for part in operator.split(" + "):
        named = LAYER.fullmatch(part)
        if named:
            return layer_of(named[1])
    return ""


def kind_of(operator: str) -> str:
    """What an operator does, in a word or two."""
    reorder = REORDER.search(operator)
    if reorder:
        return f"reorder {reorder[1]} to {reorder[2]}"
    quantises = QUANTISES.findall(operator)
    if operator.startswith(REFORMATS):
        return REFORMATS
    if quantises:
        return str(quantises[-1])
    kind = KIND.search(operator.rpartition("/")[2])
    return kind[0] if kind else operator


def _times(measurement: Measurement) -> dict[str, Times]:
    """The times of each layer, by its name; those of what runs before the first are of ``""``."""
    operators = [metric for metric in measurement.metrics if metric.of and metric.name == OPERATOR_TIME]
    if not operators or not measurement.layers:
        return {}
    timed = {"": Times()} | {layer.layer: Times() for layer in measurement.layers}
    last = ""
    for metric in operators:
        layer = measurement.layers[-1].layer if metric.of == OUTPUT else layer_in(metric.of)
        if layer and layer in timed:
            timed[layer].own_ms += metric.median
            last = layer
        else:
            after, kind = timed[last].after_ms, kind_of(metric.of)
            after[kind] = after.get(kind, 0.0) + metric.median
    return timed


def _record(layer: LayerRecord) -> tuple[str, ...]:
    return (
        layer.layer,
        str(layer.channels),
        str(layer.kept_channels),
        _scientific(layer.sensitivity),
        _scientific(layer.kept_sensitivity),
        number(layer.weight_range, 3),
        number(layer.kept_weight_range, 3),
        layer.precision,
    )


def _with_times(
    layers: tuple[LayerRecord, ...], rows: list[tuple[str, ...]], timed: dict[str, Times]
) -> list[tuple[str, ...]]:
    """The rows with the times of their layers, and a row for what belongs to no layer."""
    between_ms = sum(sum(times.after_ms.values()) for times in timed.values())
    total_ms = between_ms + sum(times.own_ms for times in timed.values())
    told = [
        (*row, *_share(timed[layer.layer].own_ms, total_ms), _after(timed[layer.layer]))
        for layer, row in zip(layers, rows, strict=True)
    ]
    blank = ("",) * (len(rows[0]) - 1)
    first = [("before the first", *blank, "", "", _after(timed[""]))] if timed[""].after_ms else []
    return [*first, *told, ("between layers", *blank, *_share(between_ms, total_ms), "")]


def _share(ms: float, total_ms: float) -> tuple[str, str]:
    return number(ms, 3), number(100 * ms / total_ms, 1) if total_ms else ABSENT


def _after(times: Times) -> str:
    return ", ".join(f"{kind} {number(ms, 3)}" for kind, ms in times.after_ms.items())


def _of_total(metric: Metric, total: float) -> tuple[str, str]:
    """The median of a part as it is read, and its share of all parts."""
    share = number(100 * metric.median / total, 1) if total else ABSENT
    return in_readable_unit(metric.median, metric.unit)[0], share


def _scientific(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.2e}"
