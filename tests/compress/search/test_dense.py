"""A dense network that is surely faster than what pruning found, and holds the bound, is shipped in its place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from hqp import typings
from hqp.compress.search import explain
from hqp.compress.search.candidates import Candidates
from hqp.compress.search.certify import certify
from hqp.compress.search.dense import compare_with_dense
from hqp.compress.search.draft import Draft
from hqp.records import (
    Cost,
    Estimate,
    Judged,
    Pruning,
    Quantization,
    Ranking,
    Recipe,
    Targets,
)

torch.set_num_threads(1)

CHANNELS, TOTAL = 20, 4000
RECIPE = Recipe(
    Pruning((Ranking("magnitude"),)),
    Quantization(calibrations=("minmax",), images=8),
    alpha=0.05,
    beside_dense=True,
)
FASTER, UNCLEAR = Estimate(1.25, 1.1, 1.4, 0.9), Estimate(1.2, 0.9, 1.5, 0.9)
# What a file is: how many channels its first layer has, and its precision.
Kind = tuple[int, str]
# Accepted are 10 pruning steps of a channel each, and the certificate falls back on 5 of them.
ACCEPTED = 10
PRUNED: dict[Kind, float] = {(10, "int8"): 1.0, (15, "int8"): 1.1}
SLOWER_DENSE: dict[Kind, float] = {(20, "int8"): 1.6, (20, "fp32"): 3.0, (20, "bf16"): 2.0}


def kind_of(file: Path) -> Kind:
    graph = onnx.load(file).graph
    first = next(node for node in graph.node if node.op_type == "Conv")
    stored = {tensor.name: tensor for tensor in graph.initializer}
    quantised = first.input[1] not in stored
    made_by = {output: node for node in graph.node for output in node.output}
    name = made_by[first.input[1]].input[0] if quantised else first.input[1]
    precision = "int8" if quantised else typings.computed_in(file)
    return stored[name].dims[0], precision


class Device:
    """A device that takes so many ms for each file, and loses so many images with it; none where it is not named."""

    def __init__(
        self, make_job: Any, dense_ms: dict[Kind, float], make_accuracy: Any, speedup: Estimate = FASTER
    ) -> None:
        self.times_ms = {**PRUNED, **dense_ms}
        self.speedup, self.paired = speedup, list[tuple[Kind, Kind]]()
        self.lost: dict[Kind, int] = {}
        self.accuracy = make_accuracy
        self.job = make_job(
            CHANNELS,
            64,
            recipe=RECIPE,
            filters=CHANNELS + 4,
            delta_max_pp=1.5,
            targets=Targets(),
            is_timed=True,
            dense=("fp32", "bf16"),
            evaluate=self.judged,
            test=self.judged,
            latencies_ms=lambda files: [self.times_ms[kind_of(file)] for file in files],
            speedup=self.paired_speedup,
        )

    def judged(self, file: Path) -> Judged:
        hits = np.ones(TOTAL, dtype=bool)
        hits[: self.lost.get(kind_of(file), 0)] = False
        return Judged(self.accuracy(hits), Cost("accuracy", TOTAL, 1, 1.0))

    def paired_speedup(self, reference: Path, candidate: Path) -> Estimate:
        self.paired.append((kind_of(reference), kind_of(candidate)))
        return self.speedup

    def draft(self, accepted: int = ACCEPTED, **changes: Any) -> Draft:
        job: Any = SimpleNamespace(**{**vars(self.job), **changes})
        candidates = Candidates(job)
        (group,) = (one for one in candidates.groups() if one.channels == CHANNELS)
        by_step = [candidates.without({group.name: tuple(range(step))} if step else {}) for step in range(accepted + 1)]
        return Draft(candidates, by_step, accepted=accepted, shipped=accepted)


@pytest.fixture
def device(make_job: Any, make_accuracy: Any) -> Any:
    """``device(dense_ms, speedup)``: a device that takes so long for the dense network in each precision."""

    def make(dense_ms: dict[Kind, float], speedup: Estimate = FASTER) -> Device:
        return Device(make_job, {**SLOWER_DENSE, **dense_ms}, make_accuracy, speedup)

    return make


def test_what_pruning_found_stays_where_it_is_the_fastest(device: Any) -> None:
    here = device({})
    draft = here.draft()
    compare_with_dense(draft)
    assert here.paired == [] and draft.shipped == ACCEPTED and not draft.ships_dense
    assert draft.dense is not None and draft.dense.dense_ms == {"int8": 1.6, "fp32": 3.0, "bf16": 2.0}
    assert str(draft.dense) == (
        "timed in turn: 1 ms, dense in INT8 1.6, FP32 3, BF16 2 ms; no dense network within the bound is surely faster"
    )
    # Few images calibrate a file that is only timed.
    spent = {cost.step: cost.images for cost in draft.candidates.ledger.costs}
    assert spent["calibration"] == 8 + 32, "a milder file is not made where no dense network is near"


@pytest.mark.parametrize("precision", ["int8", "bf16", "fp32"])
def test_a_dense_network_that_is_surely_faster_is_shipped_and_certified(device: Any, precision: str) -> None:
    here = device({(CHANNELS, precision): 0.8})
    draft = here.draft()
    compare_with_dense(draft)
    certify(draft)
    assert kind_of(draft.file) == (CHANNELS, precision) and draft.ships_dense
    assert here.paired == [((10, "int8"), (CHANNELS, precision))]
    assert draft.certificate is not None and (draft.certificate.certified, draft.certificate.candidates) == (True, 1)
    draft.ranked_blocks = ()
    explain.explain(draft)
    faster = f"the dense network in {precision.upper()} is 1.25 times as fast (1.10 to 1.40)"
    assert draft.notes == (f"{faster} as what the search found, and is shipped in its place",)
    assert str(draft.dense).endswith(f"; {faster} as the file after 10 pruning steps, in whose place it stands")

    # What was timed is in the store: the same command gives the same file.
    again = here.draft()
    compare_with_dense(again)
    assert again.dense == draft.dense and len(here.paired) == 1


def test_one_that_is_not_surely_faster_or_breaks_the_bound_is_not_shipped(device: Any) -> None:
    unclear = device({(CHANNELS, "int8"): 0.8}, UNCLEAR)
    draft = unclear.draft()
    compare_with_dense(draft)
    assert kind_of(draft.file) == (10, "int8") and len(unclear.paired) == 2

    lossy = device({(CHANNELS, "int8"): 0.7, (CHANNELS, "bf16"): 0.8})
    lossy.job.device = "there"
    lossy.lost = {(CHANNELS, "int8"): 60}
    draft = lossy.draft()
    compare_with_dense(draft)
    assert kind_of(draft.file) == (CHANNELS, "bf16")
    held = {one.held for one in draft.tried if one.judged == "file"}
    assert held == {True, False}


def test_one_that_is_faster_than_the_mildest_file_alone_is_shipped_where_the_others_are_not_certified(
    device: Any,
) -> None:
    here = device({(CHANNELS, "int8"): 1.05})
    draft = here.draft()
    compare_with_dense(draft)
    assert here.paired == [((15, "int8"), (CHANNELS, "int8"))] and draft.shipped == ACCEPTED
    certify(draft)
    assert kind_of(draft.file) == (10, "int8") and not draft.ships_dense

    here.lost = {(10, "int8"): 70}
    refused = here.draft()
    compare_with_dense(refused)
    certify(refused)
    assert kind_of(refused.file) == (CHANNELS, "int8") and refused.ships_dense
    assert refused.certificate is not None and refused.certificate.certified


def test_without_pruning_steps_int8_is_held_beside_the_floats(device: Any) -> None:
    here = device({(CHANNELS, "fp32"): 0.8})
    draft = here.draft(0)
    compare_with_dense(draft)
    assert kind_of(draft.file) == (CHANNELS, "fp32")
    assert draft.dense is not None and set(draft.dense.dense_ms) == {"fp32", "bf16"}


@pytest.mark.parametrize(
    "changes",
    [
        {"recipe": replace(RECIPE, beside_dense=False)},
        {"recipe": replace(RECIPE, objective="bytes")},
        {"targets": Targets(latency_ms=1.0)},
        {"is_timed": False},
    ],
)
def test_what_is_not_asked_for_or_cannot_be_timed_is_not_compared(device: Any, changes: dict[str, Any]) -> None:
    draft = device({(CHANNELS, "int8"): 0.1}).draft(**changes)
    compare_with_dense(draft)
    assert draft.dense is None and draft.shipped == ACCEPTED


def test_a_network_of_next_to_no_time_is_left_as_it_is(device: Any) -> None:
    here = device({(CHANNELS, "int8"): 0.01})
    here.times_ms[10, "int8"] = 0.09
    draft = here.draft()
    compare_with_dense(draft)
    assert here.paired == [] and draft.shipped == ACCEPTED and draft.dense is not None
