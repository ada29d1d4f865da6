"""Layers stay in float where a device's times say so, and the file of them measures faster."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from hqp.compress.search.candidates import Candidates
from hqp.compress.search.draft import Draft
from hqp.compress.search.precisions import choose_precisions
from hqp.records import Estimate, Quantization, Recipe

torch.set_num_threads(1)

RECIPE = Recipe(quantization=Quantization(calibrations=("minmax",), images=8, by_layer=True))
FASTER, UNCLEAR = Estimate(1.2, 1.1, 1.3, 0.9), Estimate(1.01, 0.99, 1.03, 0.9)
# The first convolution is three times as fast in float, the second not at all, the head by a third.
TIMES = {
    "int8": {"/0/Conv": 0.3, "/2/Conv": 0.1, "/4/Gemm": 0.12},
    "float": {"/0/Conv": 0.1, "/2/Conv": 0.2, "/4/Gemm": 0.08},
}


class Device:
    """A device that tells the times above, and how fast each file is beside INT8, by which layers it has in float."""

    def __init__(self, make_job: Any, speedups: dict[tuple[str, ...], Estimate | None]) -> None:
        self.speedups, self.timed = speedups, list[tuple[str, ...]]()
        # What is hardly faster at first sight.
        self.little: set[tuple[str, ...]] = set()
        self.job = make_job(
            4,
            16,
            recipe=RECIPE,
            floats="fp32",
            operator_ms=self.operator_ms,
            speedup=self.speedup,
            latencies_ms=self.latencies_ms,
        )

    def operator_ms(self, file: Path) -> dict[str, float]:
        return TIMES["float" if in_float(file) == ("0", "2", "4") else "int8"]

    def speedup(self, reference: Path, candidate: Path) -> Estimate | None:
        assert in_float(reference) == ()
        self.timed.append(in_float(candidate))
        return self.speedups[in_float(candidate)]

    def latencies_ms(self, files: list[Path]) -> list[float]:
        return [self._at_first_sight_ms(in_float(file)) for file in files]

    def _at_first_sight_ms(self, layers: tuple[str, ...]) -> float:
        if not layers:
            return 1.5
        return 1.45 if layers in self.little else 1.0

    def draft(self, recipe: Recipe = RECIPE) -> Draft:
        job: Any = SimpleNamespace(**{**vars(self.job), "recipe": recipe})
        candidates = Candidates(job)
        return Draft(candidates, [candidates.without({})])


def in_float(file: Path) -> tuple[str, ...]:
    """The layers of a file whose weights are read as they are."""
    graph = onnx.load(file).graph
    stored = {tensor.name for tensor in graph.initializer}
    weighted = [node for node in graph.node if node.op_type in ("Conv", "Gemm")]
    return tuple(node.name.split("/")[1] for node in weighted if node.input[1] in stored)


def chosen(draft: Draft) -> dict[str, str]:
    assert draft.precisions is not None
    return {choice.layer: choice.precision for choice in draft.precisions.layers}


def test_the_fastest_file_is_kept_with_why_each_layer_is_as_it_is(make_job: Any) -> None:
    device = Device(make_job, {("0",): FASTER, ("0", "4"): replace(FASTER, value=1.25), ("0", "2", "4"): UNCLEAR})
    draft = device.draft()
    choose_precisions(draft)
    assert device.timed == [("0",), ("0", "4"), ("0", "2", "4")]
    assert chosen(draft) == {"0": "float", "2": "int8", "4": "float"}
    assert draft.precisions is not None and draft.precisions.kept
    assert in_float(draft.file) == ("0", "4")
    assert draft.final.precision_of("0") == "fp32" and draft.final.precision_of("2") == "int8"
    assert str(draft.precisions.layers[0]) == "300.0 us in INT8, 100.0 us in float"
    assert str(draft.precisions) == "2 of 3 layers in FP32: 1.25 times as fast (1.10 to 1.30) as INT8 throughout"

    # Two profiles and three pairs, beside the calibrations of the files.
    spent = {cost.step: cost.passes for cost in draft.candidates.ledger.costs}
    assert spent["precision by layer"] == 2 + 3 * 2

    # What was chosen is in the store: the same command gives the same file.
    again = device.draft()
    choose_precisions(again)
    assert again.precisions == draft.precisions and len(device.timed) == 3


def test_what_promises_little_at_first_sight_is_not_timed_in_fresh_processes(make_job: Any) -> None:
    device = Device(make_job, {("0", "4"): FASTER})
    device.little = {("0",), ("0", "2", "4")}
    draft = device.draft()
    choose_precisions(draft)
    assert device.timed == [("0", "4")] and in_float(draft.file) == ("0", "4")


def test_a_calibration_is_chosen_once_for_all_choices_of_layers(make_job: Any) -> None:
    device = Device(make_job, {("0",): FASTER, ("0", "4"): UNCLEAR, ("0", "2", "4"): UNCLEAR})
    device.job.outputs = lambda file, count: np.ones((count, 3), np.float32)
    several = Recipe(quantization=Quantization(calibrations=("mse", "minmax"), images=8, compared=4, by_layer=True))
    draft = device.draft(several)
    # As if the bound had accepted the only step there is.
    draft.by_step, draft.accepted = [draft.by_step[0], draft.by_step[0]], 1
    choose_precisions(draft)
    draft.shipped = 1
    assert in_float(draft.file) == ("0",) and draft.calibrated is not None
    assert draft.calibrated.calibration == "mse" and set(draft.calibrated.divergences) == {"mse", "minmax"}
    # The ranges of two calibrations and then of one, and one comparison: of FP32 and the two files.
    spent = {cost.step: (cost.passes, cost.images) for cost in draft.candidates.ledger.costs}
    assert spent["calibration"] == (2 + 3, 2 * 8 + 3 * 4)


def test_int8_stays_throughout_where_no_file_is_surely_faster(make_job: Any) -> None:
    device = Device(make_job, {("0",): UNCLEAR, ("0", "4"): None, ("0", "2", "4"): UNCLEAR})
    draft = device.draft()
    before = draft.by_step
    choose_precisions(draft)
    assert draft.by_step == before and in_float(draft.file) == ()
    told = "INT8 throughout: with 1 of 3 layers in float it is 1.01 times as fast (0.99 to 1.03)"
    assert str(draft.precisions) == told


def test_hardly_any_time_to_be_won_is_not_timed(make_job: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = {kind: {name: ms / 100 for name, ms in times.items()} for kind, times in TIMES.items()}
    monkeypatch.setitem(globals(), "TIMES", tiny)
    device = Device(make_job, {})
    draft = device.draft()
    choose_precisions(draft)
    assert device.timed == [] and chosen(draft) == {"0": "int8", "2": "int8", "4": "int8"}
    assert str(draft.precisions) == "INT8 throughout: too little was to be won by layers in float"


def test_a_recipe_that_does_not_ask_and_a_device_that_tells_no_times_leave_int8(make_job: Any) -> None:
    device = Device(make_job, {})
    uniform = device.draft(Recipe(quantization=Quantization(calibrations=("minmax",), images=8)))
    choose_precisions(uniform)
    assert uniform.precisions is None
    device.job.operator_ms = lambda file: {}
    draft = device.draft()
    choose_precisions(draft)
    assert draft.precisions is not None and draft.precisions.layers == () and not draft.precisions.kept
