"""What a reader is told of how an artefact was made."""

from __future__ import annotations

from collections.abc import Callable

from hqp.records import BesideDense, Budget, Compared, Measurement, Sidecar
from hqp.reports import _notes


def test_of_several_rankings_it_is_said_what_told_the_best(
    make_measurement: Callable[..., Measurement], make_sidecar: Callable[..., Sidecar]
) -> None:
    compared = (
        Compared("fisher_obd(per=mac)", 0.331, "latency_ms", 0.5061),
        Compared("fisher_obd", 0.525, "latency_ms", 0.593, blocks=7),
    )
    sidecar = make_sidecar(choices__ranking="fisher_obd(per=mac)", choices__compared=compared)
    first, *_ = _notes.made(make_measurement(sidecar=sidecar))
    assert first == (
        "hqp ranks by fisher_obd(per=mac); the best of 2 by latency_ms: fisher_obd(per=mac) 0.5061 at θ 33.1%,"
        " fisher_obd without 7 blocks 0.593 at θ 52.5%"
    )


def test_what_was_spent_and_how_fast_the_dense_network_is_are_said(
    make_measurement: Callable[..., Measurement], make_sidecar: Callable[..., Sidecar]
) -> None:
    beside = BesideDense(0.254, {"int8": 0.394, "bf16": 0.451})
    spent = Budget(1.5, {"channels": 0.5, "quantisation": 0.1})
    _, budget, told = _notes.made(make_measurement(sidecar=make_sidecar(choices__dense=beside, budget=spent)))
    assert budget == "hqp on cpu_openvino: of 1.50 pp on 'selection': channels 0.50, quantisation 0.10; 0.90 left"
    assert told == (
        "hqp on cpu_openvino: timed in turn: 0.254 ms, dense in INT8 0.394, BF16 0.451 ms;"
        " no dense network within the bound is surely faster"
    )
