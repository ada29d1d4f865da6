"""The quantised file: INT8 where it must be, float where it must be, the same function, the same bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import openvino
import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from hqp import onnx_rules
from hqp.compress.exporting.export import export
from hqp.compress.quantisation import calibrate, thresholds
from hqp.compress.quantisation.qdq import quantize, tensors
from hqp.errors import HqpError
from hqp.measure.environment import host_facts
from hqp.records import Calibration, Policy, digest_of

torch.set_num_threads(1)

PER_RUNTIME = Policy()
FUSED = Policy(float_results=True)
TENSORRT = Policy("int8", symmetric=True, float_results=True)
NARROW = Policy(weight_bits=7)
# On a processor whose kernels saturate products of 8 bits, no device asks for them (see `Context.policy`).
INSTRUCTIONS = host_facts().get("instructions", "")
SATURATES = "avx2" in INSTRUCTIONS and "vnni" not in INSTRUCTIONS
POLICIES = [
    replace(policy, weight_bits=7) if SATURATES else policy for policy in (PER_RUNTIME, FUSED, TENSORRT, NARROW)
]


def convolution(inputs: int, outputs: int, kernel: int = 3, **options: Any) -> nn.Sequential:
    layer = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False, **options)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs))


class Network(nn.Module):
    """Residual, depthwise, squeeze-and-excitation and concatenation, once each."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(convolution(3, 16), nn.ReLU(), nn.MaxPool2d(2))
        self.inner = nn.Sequential(convolution(16, 16), nn.ReLU(), convolution(16, 16))
        self.depthwise = nn.Sequential(convolution(16, 16, groups=16), nn.Hardswish())
        self.excite = torchvision.ops.SqueezeExcitation(16, 8, scale_activation=nn.Hardsigmoid)
        self.left, self.right = convolution(16, 64, 1), convolution(16, 64, 1)
        self.head = nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = self.excite(self.depthwise(torch.relu(x + self.inner(x))))
        x = torch.relu(torch.cat([self.left(x), self.right(x)], 1))
        return self.head(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1))


def ranges(
    fp32: Path, batches: Callable[[], Any], how: Calibration, policy: Policy = PER_RUNTIME
) -> dict[str, tuple[float, float]]:
    return thresholds.ranges(calibrate.distributions(fp32, batches, policy), how, policy)


def images(count: int, seed: int) -> npt.NDArray[np.float32]:
    """Images with structure: a few smooth blobs of colour, so that logits differ between images."""
    rng = np.random.default_rng(seed)
    coarse = torch.tensor(rng.standard_normal((count, 3, 4, 4), dtype=np.float32))
    return nn.functional.interpolate(coarse, (32, 32), mode="bilinear").numpy()


@pytest.fixture(scope="module")
def fp32(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    model = Network().train()
    with torch.no_grad():
        for _ in range(30):
            model(torch.tensor(images(16, 1)))
    path = tmp_path_factory.mktemp("model") / "fp32.onnx"
    export(model, 32, path)
    return path


@pytest.fixture(scope="module")
def quantized(fp32: Path) -> Callable[[Policy], Path]:
    def make(policy: Policy) -> Path:
        path = fp32.with_name(f"int8-{digest_of(asdict(policy))[:12]}.onnx")
        if not path.exists():
            quantize(fp32, path, ranges(fp32, lambda: [images(32, 1)], "minmax", policy), policy)
        return path

    return make


def logits(path: Path, batch: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"input": image[None]})[0] for image in batch])


def openvino_logits(path: Path, batch: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.concatenate([compiled(image[None])["logits"].copy() for image in batch])


def signal_to_noise_db(exact: npt.NDArray[np.float32], found: npt.NDArray[np.float32]) -> float:
    return float(10 * np.log10(((exact - exact.mean(0)) ** 2).sum() / ((exact - found) ** 2).sum()))


@pytest.mark.parametrize("run", [logits, openvino_logits])
@pytest.mark.parametrize("policy", POLICIES)
def test_both_runtimes_compute_what_fp32_computes(
    policy: Policy, run: Callable[..., Any], fp32: Path, quantized: Callable[[Policy], Path]
) -> None:
    batch = images(64, 2)
    exact, found = logits(fp32, batch), run(quantized(policy), batch)
    assert (exact.argmax(1) == found.argmax(1)).mean() > 0.9
    assert signal_to_noise_db(exact, found) > 18


@pytest.mark.parametrize("policy", POLICIES)
def test_the_file_passes_the_lint_and_holds_every_weight_as_int8(
    policy: Policy, fp32: Path, quantized: Callable[[Policy], Path]
) -> None:
    onnx_rules.check(quantized(policy), symmetric_only=policy.symmetric)
    graph = onnx.load(quantized(policy)).graph
    behind = onnx_rules.constants(graph)
    weighted = [node for node in graph.node if node.op_type in ("Conv", "Gemm")]
    assert len(weighted) == 9
    for node in weighted:
        weight, bias = behind[node.input[1]], behind[node.input[2]]
        biases = TensorProto.FLOAT if policy.symmetric else TensorProto.INT32  # TensorRT takes no others
        assert (weight.data_type, bias.data_type) == (TensorProto.INT8, biases)
        scale = next(other for other in graph.node if other.output[0] == node.input[1]).input[1]
        assert behind[scale].dims == weight.dims[:1]  # per channel


class Shared(nn.Module):
    """A block that works on two scales, and two layers of one weight, each followed by its own normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.block = convolution(3, 16), convolution(16, 16)
        self.first, self.second = convolution(16, 16), convolution(16, 16)
        self.second[0].weight = self.first[0].weight
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        scales = [torch.relu(self.block(scale)) for scale in (x, nn.functional.max_pool2d(x, 2))]
        scales = [torch.relu(self.second(torch.relu(self.first(scale)))) for scale in scales]
        return self.head(torch.cat([scale.mean((2, 3)) for scale in scales], 1))


def test_weights_that_work_in_several_places_are_right_in_all_of_them(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Shared().train()
    with torch.no_grad():
        for _ in range(30):
            model(torch.tensor(images(16, 1)))
    model.eval()
    export(model, 32, tmp_path / "fp32.onnx")
    batch = images(16, 2)
    with torch.inference_mode():
        exact = model(torch.tensor(batch)).numpy()
    np.testing.assert_allclose(logits(tmp_path / "fp32.onnx", batch), exact, rtol=1e-4, atol=1e-5)
    policy = POLICIES[0]
    found = ranges(tmp_path / "fp32.onnx", lambda: [images(32, 1)], "minmax", policy)
    quantize(tmp_path / "fp32.onnx", tmp_path / "int8.onnx", found, policy)
    assert signal_to_noise_db(exact, logits(tmp_path / "int8.onnx", batch)) > 18
    weighted = [node for node in onnx.load(tmp_path / "int8.onnx").graph.node if node.op_type == "Conv"]
    assert len({node.input[1] for node in weighted}) == len(weighted) == 7


def test_a_network_of_some_size_shrinks_to_a_quarter(tmp_path: Path) -> None:
    export(nn.Sequential(nn.Conv2d(3, 256, 3), nn.ReLU(), nn.Conv2d(256, 128, 3), nn.Flatten()), 5, tmp_path / "a.onnx")
    noise = np.random.default_rng(0).standard_normal((2, 3, 5, 5), dtype=np.float32)
    quantize(tmp_path / "a.onnx", tmp_path / "b.onnx", ranges(tmp_path / "a.onnx", lambda: [noise], "kl"), PER_RUNTIME)
    assert 0.25 < (tmp_path / "b.onnx").stat().st_size / (tmp_path / "a.onnx").stat().st_size < 0.27


def quantised_inputs(path: Path) -> dict[str, list[bool]]:
    """For each kind of node, and each of its inputs that is an activation, whether it comes out of INT8."""
    graph = onnx.load(path).graph
    producers = {name: node.op_type for node in graph.node for name in node.output}
    behind = onnx_rules.constants(graph)
    found: dict[str, list[bool]] = {}
    for node in graph.node:
        activations = [name for name in node.input if name not in behind]
        found.setdefault(node.op_type, []).extend(producers.get(name) == "DequantizeLinear" for name in activations)
    return found


@pytest.mark.parametrize("policy", POLICIES)
def test_what_a_convolution_reads_is_quantised_and_its_result_where_the_runtime_wants_it(
    policy: Policy, quantized: Callable[[Policy], Path]
) -> None:
    found = quantised_inputs(quantized(policy))
    assert all(found["Conv"]) and all(found["Gemm"])
    graph = onnx.load(quantized(policy)).graph
    produced = {name: node.op_type for node in graph.node for name in node.output}
    sources = [produced.get(node.input[0], "input") for node in graph.node if node.op_type == "QuantizeLinear"]
    assert "HardSigmoid" not in sources  # the excitation is multiplied in float, or by integers that are one
    chained = not policy.float_results
    assert ("Conv" in sources, "GlobalAveragePool" in sources) == (chained, True)
    assert ("HardSwish" in found, "HardSigmoid" in found) == (not chained, not chained)
    assert graph.output[0].name == "logits" and produced["logits"] == "Gemm"  # no byte between us and the logits


def test_float_results_leave_a_residual_sum_with_one_int8_side(quantized: Callable[[Policy], Path]) -> None:
    assert quantised_inputs(quantized(PER_RUNTIME))["Add"] == [True, True]
    assert sorted(quantised_inputs(quantized(FUSED))["Add"]) == [False, True]
    assert "Relu" not in quantised_inputs(quantized(PER_RUNTIME))  # INT8 with the zero point 0 is a ReLU


def test_an_addition_of_a_constant_stays_in_float(tmp_path: Path) -> None:
    class Swish(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * nn.functional.relu6(x + 3) / 6

    export(nn.Sequential(nn.Conv2d(3, 4, 3), Swish(), nn.Conv2d(4, 4, 3), nn.Flatten()), 6, tmp_path / "a.onnx")
    # onnxruntime 1.22 gives a flattening a scale of its own; today's takes that of its input.
    found = [name for name in tensors(tmp_path / "a.onnx", PER_RUNTIME) if name != "logits"]
    assert found == ["input", "/0/Conv_output_0", "/1/Div_output_0", "/2/Conv_output_0"]


@pytest.mark.parametrize("policy", POLICIES)
def test_what_is_calibrated_is_known_before_the_file_is_written(
    policy: Policy, fp32: Path, quantized: Callable[[Policy], Path]
) -> None:
    scales = [node.input[1] for node in onnx.load(quantized(policy)).graph.node if node.op_type == "QuantizeLinear"]
    assert tensors(fp32, policy) == tuple(dict.fromkeys(scale.removesuffix("_scale") for scale in scales))


def test_another_process_writes_the_same_bytes(fp32: Path, quantized: Callable[[Policy], Path], tmp_path: Path) -> None:
    script = (
        "import sys, json; from pathlib import Path; from hqp.records import Policy\n"
        "from hqp.compress.quantisation.qdq import quantize\n"
        "quantize(Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3]), Policy())"
    )
    found = json.dumps(ranges(fp32, lambda: [images(32, 1)], "minmax", PER_RUNTIME))
    command = [sys.executable, "-c", script, str(fp32), str(tmp_path / "again.onnx"), found]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": "7"})
    assert (tmp_path / "again.onnx").read_bytes() == quantized(PER_RUNTIME).read_bytes()


def test_a_missing_or_infinite_range_is_refused_and_nothing_is_written(fp32: Path, tmp_path: Path) -> None:
    names = tensors(fp32, PER_RUNTIME)
    full = dict.fromkeys(names, (-1.0, 1.0))
    partial = {name: full[name] for name in names[1:]}
    with pytest.raises(HqpError, match="no calibrated range for input"):
        quantize(fp32, tmp_path / "int8.onnx", partial, PER_RUNTIME)
    with pytest.raises(HqpError, match="the range of input is"):
        quantize(fp32, tmp_path / "int8.onnx", {**full, "input": (0.0, float("nan"))}, PER_RUNTIME)
    assert not list(tmp_path.iterdir())


# --- one convolution, exactly ---


def single(folder: Path, weight: npt.NDArray[np.float32], bias: npt.NDArray[np.float32]) -> Path:
    """A file with one 1x1 convolution of a 2x2 input."""
    outputs, inputs = weight.shape[:2]
    graph = helper.make_graph(
        [helper.make_node("Conv", ["input", "weight", "bias"], ["logits"], "conv")],
        "one",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, inputs, 2, 2])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, outputs, 2, 2])],
        [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(bias, "bias")],
    )
    path = folder / "one.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def stored(path: Path, name: str) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """The integers behind a name, and their scale."""
    graph = onnx.load(path).graph
    node = next(
        node for node in graph.node if node.op_type == "DequantizeLinear" and node.input[0] == f"{name}_quantized"
    )
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    return arrays[node.input[0]], arrays[node.input[1]]


channels = st.lists(st.floats(-(2.0**10), 2.0**10, width=32), min_size=3, max_size=3)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(channels, st.sampled_from([1.0, 1e-3, 1e3, 0.0])), min_size=1, max_size=5))
def test_a_weight_is_off_by_at_most_half_a_step_of_its_channel(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[list[float], float]]
) -> None:
    folder = tmp_path_factory.getbasetemp()
    weight = np.array([[value * factor for value in row] for row, factor in rows], np.float32)[:, :, None, None]
    path = single(folder, weight, np.zeros(len(rows), np.float32))
    quantize(path, folder / "int8.onnx", {"input": (-1.0, 1.0), "logits": (-1.0, 1.0)}, PER_RUNTIME)
    integers, scale = stored(folder / "int8.onnx", "weight")
    steps = scale[:, None, None, None]
    assert integers.dtype == np.int8 and integers.min() >= -127
    assert (steps > 0).all()
    # Half a step, and the rounding of the quotient in float32.
    assert (np.abs(integers * steps.astype(np.float64) - weight) <= steps * 0.5 * (1 + 1e-4)).all()


def test_weights_of_seven_bits_use_half_the_range(tmp_path: Path) -> None:
    weight = np.array([[8.0, -4.0, 2.0], [-1.0, 0.5, 0.25]], np.float32)[:, :, None, None]
    path = single(tmp_path, weight, np.zeros(2, np.float32))
    quantize(path, tmp_path / "int8.onnx", {"input": (-1.0, 1.0), "logits": (-1.0, 1.0)}, NARROW)
    integers, scale = stored(tmp_path / "int8.onnx", "weight")
    assert integers.squeeze().tolist() == [[64, -32, 16], [-64, 32, 16]]
    assert scale.tolist() == [8 / 64, 1 / 64]


def test_a_dead_filter_keeps_its_bias_and_gets_a_scale_above_zero(tmp_path: Path) -> None:
    weight = np.array([[0.0, 0.0], [1.0, -0.5]], np.float32)[:, :, None, None]
    bias = np.array([0.37, -0.2], np.float32)
    path = single(tmp_path, weight, bias)
    quantize(path, tmp_path / "int8.onnx", {"input": (-10.0, 10.0), "logits": (-2.0, 2.0)}, FUSED)
    _, scale = stored(tmp_path / "int8.onnx", "weight")
    assert (scale > 0).all()
    onnx_rules.check(tmp_path / "int8.onnx")
    found = logits(tmp_path / "int8.onnx", np.ones((1, 2, 2, 2), np.float32))[0, :, 0, 0]
    assert found[0] == pytest.approx(0.37, rel=1e-4)
    assert found[1] == pytest.approx(0.30, abs=0.06)


def test_a_bias_that_int32_cannot_hold_coarsens_its_channel_alone(tmp_path: Path) -> None:
    weight = np.array([[1e-6, 0.0], [1.0, -0.5]], np.float32)[:, :, None, None]
    bias = np.array([1000.0, -0.2], np.float32)
    path = single(tmp_path, weight, bias)
    quantize(path, tmp_path / "int8.onnx", {"input": (-1e-2, 1e-2), "logits": (-2.0, 2000.0)}, FUSED)
    integers, scale = stored(tmp_path / "int8.onnx", "bias")
    assert np.abs(integers.astype(np.int64)).max() < 2**31 - 1
    np.testing.assert_allclose(integers * scale.astype(np.float64), bias, rtol=1e-3)
    assert stored(tmp_path / "int8.onnx", "weight")[1][1] == pytest.approx(1 / 127)


def test_a_tensor_that_was_always_zero_takes_nothing_from_the_next_bias(tmp_path: Path) -> None:
    path = single(tmp_path, np.ones((1, 1, 1, 1), np.float32), np.array([0.5], np.float32))
    quantize(path, tmp_path / "int8.onnx", {"input": (0.0, 0.0), "logits": (0.0, 0.0)}, FUSED)
    assert logits(tmp_path / "int8.onnx", np.zeros((1, 1, 2, 2), np.float32)).max() == pytest.approx(0.5, rel=1e-3)
    assert stored(tmp_path / "int8.onnx", "weight")[1][0] == pytest.approx(1 / 127)
