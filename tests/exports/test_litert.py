"""TFLite files: every operator computes what ONNX's does, and an INT8 network is INT8 from end to end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import helper, numpy_helper
from onnxruntime import InferenceSession

from hqp import catalog
from hqp.errors import HqpError
from hqp.exports._tflite.file import Scale
from hqp.records import Policy
from hqp.run.exports import agreement_of

pytest.importorskip("ai_edge_litert")
torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

Array = npt.NDArray[np.float32]


class Branches(nn.Module):
    """What joins two ways."""

    def __init__(self, join: Callable[[Any, Any], Any]) -> None:
        super().__init__()
        self.left, self.right, self._join = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(3, 8, 1), join

    def forward(self, x: Any) -> Any:
        return self._join(self.left(x), self.right(x))


def _batch_norm() -> nn.Module:
    norm = nn.BatchNorm2d(3)
    norm.running_mean, norm.running_var = torch.tensor([0.5, 0.2, 0.1]), torch.tensor([2.0, 0.5, 1.0])
    norm.weight.data = torch.tensor([1.0, -2.0, 0.3])
    return nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), norm)


BODIES: dict[str, Callable[[], nn.Module]] = {
    "padded alike": lambda: nn.Conv2d(3, 8, 3, padding=1),
    "padded otherwise": lambda: nn.Conv2d(3, 8, 3, stride=2, padding=1),
    "with holes": lambda: nn.Conv2d(3, 8, 3, padding=2, dilation=2),
    "of groups": lambda: nn.Conv2d(3, 6, 3, groups=3),
    "in two groups": lambda: nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 12, 3, groups=2)),
    "max": lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.MaxPool2d(3, 2, padding=1)),
    "max of what is positive": lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1)),
    "max of windows that reach beyond": lambda: nn.Sequential(nn.Conv2d(3, 8, 2), nn.MaxPool2d(2, 2, ceil_mode=True)),
    "mean of windows": lambda: nn.Sequential(nn.Conv2d(3, 8, 1), nn.AvgPool2d(2)),
    "mean with its border": lambda: nn.Sequential(nn.Conv2d(3, 8, 1), nn.AvgPool2d(3, 2, padding=1)),
    "sum": lambda: Branches(lambda left, right: torch.relu(left + right)),
    "difference": lambda: Branches(lambda left, right: left - right),
    "channels": lambda: Branches(lambda left, right: torch.cat([left, right, left], 1)),
    "gate": lambda: Branches(lambda left, right: left * nn.functional.hardsigmoid(right.mean((2, 3), keepdim=True))),
    "constants": lambda: Branches(lambda left, right: left * 0.5 + torch.arange(8.0).reshape(8, 1, 1) * right),
    "relu6": lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU6(), nn.Conv2d(8, 8, 1), nn.ReLU6()),
    "hard-swish": lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.Hardswish()),
    "swish": lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.SiLU()),
    "batch norm": lambda: nn.Sequential(_batch_norm(), nn.ReLU(), nn.Conv2d(3, 8, 3)),
}


@pytest.fixture(params=BODIES)
def network(request: pytest.FixtureRequest, noise: Array, tmp_path: Path) -> tuple[Path, Path]:
    """The FP32 and the INT8 file of a network whose logits are all values of a body, by a product."""
    from hqp.compress.exporting.export import export
    from hqp.compress.quantisation import calibrate, thresholds
    from hqp.compress.quantisation.qdq import quantize

    torch.manual_seed(2)
    body = BODIES[request.param]()
    width = body(torch.zeros(1, 3, 12, 12)).numel()
    fp32, int8, policy = tmp_path / "fp32.onnx", tmp_path / "int8.onnx", Policy(activations="uint8", symmetric=False)
    export(nn.Sequential(body, nn.Flatten(), nn.Linear(width, 5)).eval(), 12, fp32)
    seen = calibrate.distributions(fp32, lambda: [noise], policy)
    quantize(fp32, int8, thresholds.ranges(seen, "minmax", policy), policy)
    return fp32, int8


def exact(file: Path, images: Array) -> Array:
    session = InferenceSession(file, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"input": image[None]})[0] for image in images])


def exported(file: Path, images: Array, out: Path) -> Array:
    litert = catalog.require("exports", "litert")
    litert.write(file, out, images)
    found: Array = litert.read_back(out / litert.opened, images)
    return found


def test_every_operator_computes_what_that_of_onnx_does(
    network: tuple[Path, Path], noise: Array, tmp_path: Path
) -> None:
    fp32, int8 = network
    logits = exact(fp32, noise)
    np.testing.assert_allclose(exported(fp32, noise, tmp_path), logits, atol=1e-5 * np.abs(logits).max())
    assert kinds(tmp_path) == {"float32"}
    assert agreement_of(exact(int8, noise), exported(int8, noise, tmp_path))[1] > 0.998
    assert kinds(tmp_path) == {"int8"}


def kinds(out: Path) -> set[str]:
    """The types of all that the operators of a file give, and of its input."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(out / "model.tflite"))
    types = {tensor["index"]: tensor["dtype"].__name__ for tensor in interpreter.get_tensor_details()}
    given = [places for operator in interpreter._get_ops_details() for places in operator["outputs"]]
    return {types[place] for place in (*given, interpreter.get_input_details()[0]["index"])}


def test_weights_and_scales_are_those_of_the_artefact(quantised: Path, noise: Array, tmp_path: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    catalog.require("exports", "litert").write(quantised, tmp_path, noise)
    interpreter = Interpreter(str(tmp_path / "model.tflite"))
    interpreter.allocate_tensors()
    assert interpreter.get_input_details()[0]["shape"].tolist() == [1, 12, 12, 3]
    graph = onnx.load(quantised).graph
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    tensors = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
    layers = [made for made in interpreter._get_ops_details() if "CONV_2D" in made["op_name"]]
    (first, each, last) = (tensors[layer["inputs"][1]] for layer in layers)
    weights = {name: value for name, value in stored.items() if value.dtype == np.int8 and value.ndim > 1}
    orders = {first["index"]: (0, 3, 1, 2), each["index"]: (3, 0, 1, 2), last["index"]: (0, 3, 1, 2)}
    for tensor, (name, weight) in zip((first, each, last), sorted(weights.items()), strict=True):
        found = interpreter.get_tensor(tensor["index"]).transpose(orders[tensor["index"]])
        np.testing.assert_array_equal(found.reshape(weight.shape), weight)
        steps = stored[name.replace("_quantized", "_scale")]
        np.testing.assert_array_equal(tensor["quantization_parameters"]["scales"], steps)


def test_a_scale_spans_its_range_and_holds_zero_exactly() -> None:
    assert Scale.spanning(0, 2.55) == Scale(pytest.approx(0.01), -128)
    assert Scale.spanning(-5.1, -1) == Scale(pytest.approx(0.02), 127)
    assert Scale.spanning(-1.28, 1.27).range == (pytest.approx(-1.28), pytest.approx(1.27))
    assert Scale.spanning(0, 0).step > 0


def test_an_operator_without_a_form_is_named(tmp_path: Path) -> None:
    given, gives = (helper.make_tensor_value_info(name, 1, [1, 3, 4, 4]) for name in ("input", "logits"))
    graph = helper.make_graph([helper.make_node("Elu", ["input"], ["logits"], "act/Elu")], "one", [given], [gives])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "elu.onnx")
    images = np.zeros((1, 3, 4, 4), np.float32)
    with pytest.raises(HqpError, match=r"elu.onnx: act/Elu is Elu, of which the LiteRT export knows no"):
        catalog.require("exports", "litert").write(tmp_path / "elu.onnx", tmp_path, images)
