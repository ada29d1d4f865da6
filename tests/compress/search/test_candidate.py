"""A candidate is a value: what is made alike is equal, and what tells two apart is in it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hqp.compress.search.candidate import TRAINED, Candidate, Quantised
from hqp.records import Policy, Quantization, Recovery

HOW = Recovery(variants=("least_squares",))
INT8 = Quantised(Quantization(), Policy())


def test_the_order_in_which_groups_are_named_is_no_difference() -> None:
    first, second = Candidate.without({"a": (0, 1), "b": (2,)}), Candidate.without({"b": (2,), "a": (0, 1)})
    assert first == second and hash(first) == hash(second) and first.removal == {"a": (0, 1), "b": (2,)}


def test_what_loses_nothing_is_the_trained_model_and_needs_no_recovery() -> None:
    assert Candidate.without({}, HOW) == TRAINED
    assert Candidate.without({"a": (0,)}, HOW).recovery == HOW


def test_quantised_files_of_one_module_share_it() -> None:
    int8 = Candidate.without({"a": (0,)}, HOW, quantised=INT8)
    half = Candidate.without({"a": (0,)}, HOW, precision="fp16")
    assert int8 != half and int8.in_fp32 == half.in_fp32 == Candidate.without({"a": (0,)}, HOW)


@pytest.mark.parametrize(
    ("candidate", "expected"),
    (
        (TRAINED, "fp32"),
        (Candidate.without({}, precision="fp16"), "fp16"),
        (Candidate.without({}, quantised=INT8), "int8"),
        (Candidate.without({}, quantised=replace(INT8, policy=Policy(layers={"conv1": "float"}))), "fp32"),
    ),
)
def test_the_precision_of_a_layer_is_that_of_the_file_or_of_its_policy(candidate: Candidate, expected: str) -> None:
    assert candidate.precision_of("conv1") == expected


def test_policies_that_differ_in_a_layer_make_different_candidates() -> None:
    other = replace(INT8, policy=Policy(layers={"conv1": "float"}))
    both = {Candidate.without({}, quantised=INT8), Candidate.without({}, quantised=other)}
    assert len(both) == 2
