"""What a suite file may say, and that anything else is refused by name before a suite exists."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import hqp
from hqp import Gate, Model, Suite
from hqp.errors import HqpError
from hqp.records import Case

PACKAGE = str(Path(hqp.__file__).parents[1])


def suite_of(**changes: Any) -> Suite:
    stated: dict[str, Any] = {
        "models": ("resnet18", Model("nets/mine.py:build", weights="mine.pt", name="mine")),
        "dataset": "signs",
        "devices": ("cpu_openvino", "cpu_onnxruntime"),
        "methods": ("fp32", "hqp"),
        "gates": (),
    }
    return Suite(**{**stated, **changes})


def test_cases_are_every_model_method_and_device_in_that_order() -> None:
    assert [str(case) for case in suite_of().cases()] == [
        "resnet18-fp32-cpu_openvino",
        "resnet18-fp32-cpu_onnxruntime",
        "resnet18-hqp-cpu_openvino",
        "resnet18-hqp-cpu_onnxruntime",
        "mine-fp32-cpu_openvino",
        "mine-fp32-cpu_onnxruntime",
        "mine-hqp-cpu_openvino",
        "mine-hqp-cpu_onnxruntime",
    ]


def test_a_gate_binds_the_cases_it_names_and_all_where_it_names_none() -> None:
    case = Case("resnet18", "hqp", "cpu_openvino")
    assert Gate("size", max_ratio=0.3).binds(case)
    assert Gate("size", methods="hqp", models=("resnet18", "mine"), max_ratio=0.3).binds(case)
    assert not Gate("size", methods="hqp", devices="cpu_onnxruntime", max_ratio=0.3).binds(case)
    assert Gate("speedup", min_ratio=2, margin=1) == Gate("speedup", margin=1, min_ratio=2)


@pytest.mark.parametrize(
    ("weights", "file", "entry"),
    [
        ("mine.pt", "mine.pt", ""),
        ("mine.pt:state_dict_ema", "mine.pt", "state_dict_ema"),
        ("C:/nets/mine.pt", "C:/nets/mine.pt", ""),
        ("C:/nets/mine.pt:ema", "C:/nets/mine.pt", "ema"),
    ],
)
def test_weights_name_a_file_and_perhaps_an_entry_of_it(weights: str, file: str, entry: str) -> None:
    model = Model("nets/mine.py:build", weights=weights)
    assert (model.file, model.entry, model.name) == (Path(file), entry, "nets/mine.py:build")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"models": "resnet18"}, "models of a suite is 'resnet18'; a tuple of names is right; try: models=(\"…\",)"),
        ({"devices": ()}, 'devices of a suite is (); a tuple of names is right; try: devices=("…",)'),
        ({"methods": ("hqp", "hqp")}, "methods of a suite names one twice: ('hqp', 'hqp'); each name once"),
        ({"keep": "stem"}, "keep of a suite is 'stem'; a tuple of layers' names; try: keep=(\"stem.*\",)"),
        ({"delta_max_pp": 0}, "delta_max_pp of a suite is 0; a number from 0.01 to 100: absolute points of top-1"),
        ({"rounds": 1}, "rounds of a suite is 1; a whole number from 2 to 10,000: blocks, two in each process"),
        ({"seed": True}, "seed of a suite is True; a whole number from 0 to 4,294,967,295"),
        ({"disturbed": "no"}, "disturbed of a suite is 'no'; one of dropped, kept; try: disturbed=\"dropped\""),
        ({"inconclusive": "pass"}, "inconclusive of a suite is 'pass'; one of fail, skip; try: inconclusive=\"fail\""),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_does(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(HqpError, match=f"^{re.escape(said)}"):
        suite_of(**changes)


def test_a_gate_that_stands_alone_is_no_tuple_of_gates() -> None:
    with pytest.raises(HqpError, match=r"a tuple of gates is right; try: gates=\(Gate\(…\),\)$"):
        suite_of(gates=Gate("size", max_ratio=0.3))


def test_a_model_has_weights_of_a_file_or_pretrained_ones() -> None:
    with pytest.raises(HqpError, match=r"^net is to have weights of a file and pretrained ones; one of them$"):
        Model("net", weights="mine.pt", pretrained=True)


DECLARED = 'from hqp import Suite\nsuite = Suite(("resnet18",), "signs", ("cpu_openvino",), ("fp32",), ())\n'


def python(*words: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    paths = [PACKAGE, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, *words]
    return subprocess.run(command, input=given, capture_output=True, text=True, env=environment)


def test_a_suite_that_is_run_as_a_script_says_how_it_is_run(tmp_path: Path) -> None:
    file = tmp_path / "first.py"
    file.write_text(DECLARED)
    done = python(str(file))
    said = f"hqp: error: {file} is a suite, which pytest runs; try: pytest {file}\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", said)


def test_a_suite_may_be_made_where_there_is_no_file() -> None:
    done = python("-", given=DECLARED + "print(*suite.cases())\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "resnet18-fp32-cpu_openvino\n", "")
