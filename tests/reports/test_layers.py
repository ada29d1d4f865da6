"""The layers of an artefact, each with its share of the time, and what runs beside them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hqp.records import LayerRecord, Measurement, Metric
from hqp.reports import _layers

CONV = LayerRecord("layer1.0.conv1", 64, 40, 1.5e-6, None, 0.5, 0.25, 0.001, 0.0005, "int8")
HEAD = LayerRecord("fc", 10, 10, 2e-3, 2e-3, 0.125, 0.125, 0.001, 0.001, "fp32")
CONV_ROW = ("layer1.0.conv1", "64", "40", "1.50e-06", "–", "0.500", "0.250", "int8")
HEAD_ROW = ("fc", "10", "10", "2.00e-03", "2.00e-03", "0.125", "0.125", "fp32")
BLANK = ("",) * 7


def times(**ms: float) -> tuple[Metric, ...]:
    return tuple(Metric("operator_time", "ms", (median,), of=operator) for operator, median in ms.items())


def test_every_layer_has_its_share_of_the_time_and_what_runs_after_it(
    make_measurement: Callable[..., Measurement],
) -> None:
    told = {
        "input_QuantizeLinear": 0.125,
        "/layer1/layer1.0/conv1/Conv + /layer1/layer1.0/relu/Relu": 1.0,
        "/layer1/layer1.0/relu/Relu_output_0_QuantizeLinear": 0.25,
        "Mul_487": 0.25,
        "Mul_488": 0.125,
        "/fc/Gemm": 0.25,
    }
    section = _layers.layers(make_measurement(layers=(CONV, HEAD), metrics=times(**told)))
    assert section.headers[-3:] == ("ms", "% of time", "then, ms")
    assert section.rows == (
        ("before the first", *BLANK, "", "", "QuantizeLinear 0.125"),
        (*CONV_ROW, "1.000", "50.0", "QuantizeLinear 0.250, Mul 0.375"),
        (*HEAD_ROW, "0.250", "12.5", ""),
        ("between layers", *BLANK, "0.750", "37.5", ""),
    )


def test_without_a_profiler_no_time_is_told(make_measurement: Callable[..., Measurement]) -> None:
    section = _layers.layers(make_measurement(layers=(CONV, HEAD), metrics=()))
    assert section.headers[-1] == "precision"
    assert section.rows == (CONV_ROW, HEAD_ROW)


def test_times_by_operator_are_a_table_of_their_own_only_where_no_layers_tell_them(
    make_measurement: Callable[..., Measurement],
) -> None:
    metrics = (*times(a=1.0, b=3.0), Metric("reads", "", (7.0,), of="a"))
    alone = _layers.parts(make_measurement(layers=(), metrics=metrics))
    beside = _layers.parts(make_measurement(layers=(CONV,), metrics=metrics))
    assert [section.title for section in alone] == [
        "operator time of hqp on cpu_openvino",
        "reads of hqp on cpu_openvino",
    ]
    assert [section.title for section in beside] == ["reads of hqp on cpu_openvino"]


@pytest.mark.parametrize(
    ("operator", "layer", "kind"),
    [
        # OpenVINO's names.
        ("/layer2/layer2.0/downsample/downsample.0/Conv/WithoutBiases", "layer2.0.downsample.0", ""),
        ("/fc/Gemm/WithoutBiases/DequantizationMultiply", "fc", ""),
        ("input_abcd_acdb_/conv1/Conv/WithoutBiases", "", "reorder abcd to acdb"),
        ("/layer1/layer1.0/relu_1/Relu_output_0_QuantizeLinear", "", "QuantizeLinear"),
        # Those of ONNX Runtime.
        ("/layer1/layer1.0/conv1/Conv_token_5", "layer1.0.conv1", ""),
        ("/block/block.0/Conv + /block/block.1/HardSigmoid", "block.0", ""),
        ("/features/features.9/Conv_output_0_DequantizeLinear", "", "DequantizeLinear"),
        ("ReorderOutput_token_204", "", "ReorderOutput"),
        ("/layer1/layer1.0/Add", "", "Add"),
        # Those of TensorRT.
        ("/conv1/QuantizeLinear + /conv1/Conv + /relu/Relu", "conv1", ""),
        ("Reformatting CopyNode for Input Tensor 0 to /conv1/Conv + /relu/Relu", "", "Reformatting"),
        ("PWN(/features/features.4/Sigmoid)", "", "Sigmoid"),
    ],
)
def test_an_operator_counts_for_the_layer_whose_convolution_its_name_holds(
    operator: str, layer: str, kind: str
) -> None:
    assert _layers.layer_in(operator) == layer
    if not layer:
        assert _layers.kind_of(operator) == kind


def test_what_gives_the_output_is_the_last_layer(make_measurement: Callable[..., Measurement]) -> None:
    section = _layers.layers(make_measurement(layers=(CONV, HEAD), metrics=times(logits=2.0)))
    assert [row[-3:] for row in section.rows] == [
        ("0.000", "0.0", ""),
        ("2.000", "100.0", ""),
        ("0.000", "0.0", ""),
    ]
