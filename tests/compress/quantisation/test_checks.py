"""What is found of a layer before it is quantised, told with the remedy, on one convolution whose values are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hqp.compress.quantisation import checks
from hqp.records import Finding, Policy

RANGES = {"input": (-1.0, 1.0)}


def file(folder: Path, weights: list[float], bias: list[float]) -> Path:
    """A file with one 1x1 convolution of one channel, named as an exporter names it."""
    filters = np.array(weights, np.float32).reshape(-1, 1, 1, 1)
    arrays: dict[str, npt.NDArray[Any]] = {"weight": filters, "bias": np.array(bias, np.float32)}
    graph = helper.make_graph(
        [helper.make_node("Conv", ["input", "weight", "bias"], ["logits"], "/features/features.0/Conv")],
        "one",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 1, 2, 2])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, len(weights), 2, 2])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    path = folder / "one.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


LAYER = "features.0"
DEAD = Finding(LAYER, "1 of 3 channels are dead", "their biases stay, by the least scale that there is")
TINY = Finding(LAYER, "1 of 3 channels have weights below 1/4096 of the others'", "each channel has a scale of its own")
BIAS = Finding(LAYER, "the biases of 1 of 3 channels overflow int32", "the scales of their weights are coarser")


@pytest.mark.parametrize(
    ("weights", "bias", "found"),
    [
        ([1.0, 0.5, 0.25], [0.0, 1.0, -1.0], ()),
        ([1.0, 0.0, 0.25], [0.0, 0.0, 0.0], (DEAD,)),
        ([1.0, 1e-4, 1.0], [0.0, 0.0, 0.0], (TINY,)),
        # 2**31 steps of 2 / 255 times 1e-4 / 127 are 13.3.
        ([1.0, 1e-4, 1.0], [13.0, 13.0, 13.0], (TINY,)),
        ([1.0, 1e-4, 1.0], [14.0, 14.0, 14.0], (TINY, BIAS)),
    ],
)
def test_each_is_told_with_its_layer_its_reason_and_its_remedy(
    weights: list[float], bias: list[float], found: tuple[Finding, ...], tmp_path: Path
) -> None:
    assert checks.findings(file(tmp_path, weights, bias), RANGES, {}, {}, Policy(), "kl") == found


def test_biases_in_float_do_not_overflow_and_layers_in_float_are_not_looked_at(tmp_path: Path) -> None:
    path = file(tmp_path, [1.0, 1e-4, 1.0], [14.0, 14.0, 14.0])
    assert checks.findings(path, RANGES, {}, {}, Policy("int8", symmetric=True), "kl") == (TINY,)
    assert checks.findings(path, RANGES, {}, {}, Policy(layers={LAYER: "float"}), "kl") == ()


def test_an_outlier_is_told_with_the_calibration_that_cuts_it_or_keeps_it(tmp_path: Path) -> None:
    path = file(tmp_path, [1.0], [0.0])
    reason = "a few values widen its range 5.2 times, and so the step of all"
    for calibration, remedy in (("mse", "cut by mse"), ("minmax", "kept whole by minmax")):
        found = checks.findings(path, RANGES, {"logits": 5.23}, {}, Policy(), calibration)
        assert found == (Finding(LAYER, reason, remedy),)
