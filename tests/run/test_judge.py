"""What a suite may ask: every name and limit is looked at before anything is measured. Nothing here is measured."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hqp import Gate, Suite
from hqp.errors import HqpError
from hqp.measure.sampler import BLOCKS_PER_PROCESS
from hqp.records import TAIL, Case, Device, Policy
from hqp.run import judge
from hqp.run.plugins import Plugins
from hqp.stats import sequential


def suite_of(*gates: Gate, **changes: Any) -> Suite:
    said = {
        "models": ("resnet18",), "dataset": "signs", "devices": ("cpu_onnxruntime",), "methods": ("fp32", "q8", "hqp"),
    }  # fmt: skip
    return Suite(gates=gates, **(said | changes))


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        (Gate("size", max_ratio=30), "limit max_ratio of gate 'size' is 30; a number from 0.001 to 1: a share"),
        (Gate("size", max_ratio=float("nan")), "limit max_ratio of gate 'size' is nan; a number from 0.001 to 1"),
        (Gate("size", max_ratio="0.3"), "limit max_ratio of gate 'size' is '0.3'; a number"),
        (Gate("size", max_ratio=True), "limit max_ratio of gate 'size' is True; a number"),
        (Gate("accuracy_drop", max_pp=1000), "limit max_pp of gate 'accuracy_drop' is 1000; a number from 0 to 50"),
        (Gate("accuracy_drop", max_pp=-1), "limit max_pp of gate 'accuracy_drop' is -1; a number from 0 to 50"),
        (Gate("accuracy_regression", max_pp=99), "limit max_pp of gate 'accuracy_regression' is 99; a number"),
        (Gate("latency_regression", margin=1e9), "limit margin of gate 'latency_regression' is 1000000000.0; a number"),
        (Gate("latency_regression", margin=-0.5), "limit margin of gate 'latency_regression' is -0.5; a number"),
        (Gate("speedup", min_ratio=0), "limit min_ratio of gate 'speedup' is 0; a number from 0.5 to 1,000"),
        (Gate("min_top1", min_percent=0.81), "is 0.81; a number from 1 to 100: percent of the images, 81 and not 0.81"),
        (Gate("latency_regression", margin=float("nan")), "is nan; a number from 0 to 1"),
        (Gate("max_ms", max_median_ms=0), "is 0; a number from 0.001 to 60,000: milliseconds of one inference"),
        (Gate("max_bytes", max_bytes=1e12), "a number from 1,000 to 2,000,000,000: bytes of model.onnx"),
        (Gate("max_memory", max_bytes=1e15), "a number from 100,000 to 1,000,000,000,000: bytes by which"),
        (Gate("size"), "gate 'size' has no max_ratio; try: Gate(\"size\", max_ratio=…)"),
        (Gate("size", max_raito=0.3), "unknown limit of gate 'size' 'max_raito'; did you mean max_ratio?"),
        (Gate("sise", max_ratio=0.3), "unknown gate 'sise'; did you mean size?"),
        (Gate("size", methods="hpq", max_ratio=0.3), "unknown method of gate 'size' 'hpq'; did you mean hqp?"),
        (Gate("size", devices="gpu", max_ratio=0.3), "unknown device of gate 'size' 'gpu'; there are: cpu_onnxruntime"),
        (Gate("size", methods="fp32", max_ratio=0.3), "gate 'size' compares with fp32, and cannot judge"),
        (Gate("speedup", methods=("hqp", "fp32"), min_ratio=2), "gate 'speedup' compares with fp32, and"),
    ],
)  # fmt: skip
def test_a_gate_that_can_never_fail_or_is_misspelt_is_refused(gate: Gate, said: str) -> None:
    with pytest.raises(HqpError) as refused:
        judge.resolve(suite_of(gate), Plugins())
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rounds": 1}, "rounds of a suite is 1; a whole number from 2 to 10,000: blocks, two in each"),
        ({"rounds": 2.5}, "rounds of a suite is 2.5; a whole number"),
        ({"rounds": 15.0}, "rounds of a suite is 15.0; a whole number"),
        ({"rounds": 10**9}, "rounds of a suite is 1000000000; a whole number from 2 to 10,000"),
        ({"rounds": None}, "rounds of a suite is None; a whole number"),
        ({"disturbed": "keep"}, "disturbed of a suite is 'keep'; one of dropped, kept; try: disturbed=\"dropped\""),
        ({"inconclusive": "pass"}, "inconclusive of a suite is 'pass'; one of fail, skip; try: inconclusive"),
        ({"seed": "x"}, "seed of a suite is 'x'; a whole number from 0 to"),
        ({"seed": -3}, "seed of a suite is -3; a whole number from 0 to"),
        ({"test_images": 0}, "test_images of a suite is 0; a whole number from 1 to"),
        ({"input_size": "32"}, "input_size of a suite is '32'; a whole number from 8 to"),
        ({"delta_max_pp": -1}, "delta_max_pp of a suite is -1; a number from 0.01 to 100: absolute points of top-1"),
        ({"delta_max_pp": float("nan")}, "delta_max_pp of a suite is nan; a number"),
        ({"alpha": 0}, "alpha of a suite is 0; a number from 1e-06 to 0.5: how often a certificate may be wrong"),
        ({"alpha": float("nan")}, "alpha of a suite is nan; a number"),
        ({"methods": "hqp"}, "methods of a suite is 'hqp'; a tuple of names is right; try: methods=(\"…\",)"),
        ({"methods": ("hqp", "hqp")}, "methods of a suite names one twice"),
        ({"keep": "stem.*"}, "keep of a suite is 'stem.*'; a tuple of layers' names"),
    ],
)
def test_a_number_that_a_suite_cannot_take_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(HqpError) as refused:
        suite_of(**changes)
    assert said in str(refused.value)


def test_gates_that_are_no_tuple_of_gates_are_refused() -> None:
    with pytest.raises(HqpError, match=r"a tuple of gates is right; try: gates=\(Gate\(…\),\)"):
        Suite(("resnet18",), "signs", ("cpu_onnxruntime",), ("fp32",), Gate("size", max_ratio=0.3))  # type: ignore[arg-type]


def test_a_gate_on_time_asks_for_no_fewer_rounds_than_can_decide() -> None:
    fewest = sequential.fewest(TAIL) * BLOCKS_PER_PROCESS
    few = {"rounds": fewest - 1}
    with pytest.raises(HqpError, match="rounds of the suite is 9, of which no gate on time can decide; 10 or more"):
        judge.resolve(suite_of(Gate("max_ms", max_median_ms=5), **few), Plugins())
    judge.resolve(suite_of(Gate("max_bytes", max_bytes=5_000), **few), Plugins())
    judge.resolve(suite_of(Gate("max_ms", max_median_ms=5), rounds=fewest), Plugins())


def test_many_verdicts_on_time_ask_for_the_rounds_that_confirm_one_of_them() -> None:
    """One of 48 is confirmed at a level of 1 in 48, not of 1 in 20: five processes alike are 1 in 32, six 1 in 64."""
    models, methods = ("resnet18", "mobilenet_v3_small", "mobilenet_v3_large", "vgg16"), ("q8", "magnitude", "hqp")
    gates = (Gate("max_ms", max_median_ms=5), Gate("latency_budget", max_p99_ms=16))
    suite = Suite(models, "signs", ("cpu_onnxruntime", "cpu_openvino"), methods, gates, rounds=10)
    said = r"rounds of the suite is 10, of which no gate on time can decide among 48 verdicts on time; 12 or more"
    with pytest.raises(HqpError, match=said):
        judge.resolve_gates(suite)
    judge.resolve_gates(replace(suite, rounds=12))


def test_alpha_of_a_suite_is_that_of_the_methods_that_certify() -> None:
    suite = suite_of(methods=("fp32", "hqp"), alpha=0.01)
    resolved = judge.resolve(suite, Plugins())
    assert {case.method: found.recipe.alpha for case, found in resolved.cases.items()} == {"fp32": None, "hqp": 0.01}
    usual = judge.resolve(replace(suite, alpha=None), Plugins())
    assert {case.method: found.recipe.alpha for case, found in usual.cases.items()} == {"fp32": None, "hqp": 0.05}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"models": ("resnet81",)}, "unknown model 'resnet81'; did you mean resnet18"),
        ({"dataset": "sings"}, "unknown dataset 'sings'; did you mean signs?"),
        ({"methods": ("fp32", "magnitud")}, "unknown method 'magnitud'; did you mean magnitude?"),
        (
            {"methods": ("fp32", "q8"), "keep": ("conv1",)},
            "keep of a suite is set, and none of its methods",
        ),
        ({"methods": ("fp32",), "alpha": 0.01}, "alpha of a suite is set, and none of its methods certifies"),
    ],
)
def test_a_misspelt_name_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(HqpError) as refused:
        judge.resolve(suite_of(**changes), Plugins())
    assert said in str(refused.value)


@pytest.fixture
def half_board() -> Plugins:
    """Plug-ins with a device that has no INT8."""
    plugins, board = Plugins(), Device("onnxruntime", 1, ("fp32", "fp16"), Policy(), "a board")
    plugins.device = lambda name: replace(board, replaces={"int8": "fp16"} if name == "replacing" else {})  # type: ignore[method-assign]
    return plugins


def test_a_precision_that_a_device_lacks_is_replaced_by_its_policy(half_board: Plugins) -> None:
    cases = judge.resolve(suite_of(devices=("replacing",)), half_board).cases
    recipes = {case.method: resolved.recipe for case, resolved in cases.items()}
    assert {method: recipe.asks_for for method, recipe in recipes.items()} == {
        "fp32": "fp32",
        "q8": "fp16",
        "hqp": "fp16",
    }
    assert {method: recipe.replaced for method, recipe in recipes.items()} == {
        "fp32": "",
        "q8": "FP16 for INT8",
        "hqp": "FP16 for INT8",
    }
    assert recipes["hqp"].pruning == Plugins().load("methods", "hqp").recipe.pruning


def test_a_precision_that_a_device_lacks_without_a_policy_is_refused_when_collected(half_board: Plugins) -> None:
    with pytest.raises(
        HqpError, match="device 'strict' has no INT8, which method 'q8' asks for; a method in FP32, FP16"
    ):
        judge.resolve(suite_of(devices=("strict",)), half_board)


def test_a_suite_that_wants_the_methods_own_precision_takes_no_other(half_board: Plugins) -> None:
    with pytest.raises(HqpError, match="no INT8, which method 'q8' asks for; another device, or exact_precision=False"):
        judge.resolve(suite_of(devices=("replacing",), exact_precision=True), half_board)


@pytest.mark.parametrize("replaces", [{"fp16": "fp32"}, {"int8": "fp8"}, {"int8": "int8"}])
def test_a_device_replaces_only_what_it_lacks_by_what_it_has(replaces: dict[Any, Any]) -> None:
    with pytest.raises(HqpError, match="one that it lacks by one that it has"):
        Device("onnxruntime", 1, ("fp32", "fp16", "bf16"), Policy(), "a board", replaces=replaces)


def test_a_gate_that_compares_with_fp32_binds_all_other_methods() -> None:
    against, itself = judge.resolve(
        suite_of(Gate("size", max_ratio=0.3), Gate("min_top1", min_percent=50)), Plugins()
    ).bounds
    cases = {method: Case("resnet18", method, "cpu_onnxruntime") for method in ("fp32", "q8", "hqp")}
    assert [method for method, case in cases.items() if against.binds(case)] == ["q8", "hqp"]
    assert [method for method, case in cases.items() if itself.binds(case)] == ["fp32", "q8", "hqp"]
    with pytest.raises(HqpError, match="gate 'size' binds no case of the suite"):
        judge.resolve(suite_of(Gate("size", max_ratio=0.3), methods=("fp32",)), Plugins())


def test_two_gates_of_a_name_for_one_case_are_refused() -> None:
    with pytest.raises(HqpError, match="two gates 'size' bind resnet18-hqp-cpu_onnxruntime"):
        judge.resolve(suite_of(Gate("size", max_ratio=0.3), Gate("size", methods="hqp", max_ratio=0.2)), Plugins())


def test_layers_to_keep_are_asked_of_the_methods_that_prune() -> None:
    suite = suite_of(keep=("conv1", "layer4.*"))
    cases = judge.resolve(suite, Plugins()).cases
    asked = {case.method: cases[case].request.keep for case in suite.cases()}
    assert asked == {"fp32": (), "q8": (), "hqp": ("conv1", "layer4.*")}
