"""What torch computes, the exported file computes, in each runtime and with the same bytes every time."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import openvino
import pytest
import torch
import torchvision
from torch import Tensor, nn

from hqp.compress.exporting import count
from hqp.compress.exporting.export import export
from hqp.errors import HqpError

torch.set_num_threads(1)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.inner = nn.Sequential(nn.Conv2d(8, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8))
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = torch.relu(x + self.inner(x))
        return self.head(torch.flatten(nn.functional.adaptive_avg_pool2d(x, 1), 1))


class Excited(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.Hardswish())
        self.excite = torchvision.ops.SqueezeExcitation(8, 4, scale_activation=nn.Hardsigmoid)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.excite(self.stem(x)).mean((2, 3)))


class Joined(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Conv2d(3, 4, 3, padding=1)
        self.right = nn.Sequential(nn.Conv2d(3, 4, 1, bias=False), nn.BatchNorm2d(4))
        self.head = nn.Conv2d(8, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        joined = torch.relu(torch.cat([self.left(x), self.right(x)], 1))
        return self.head(nn.functional.max_pool2d(joined, 2)).mean((2, 3))


def depthwise() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6(),
        nn.Conv2d(8, 8, 3, 1, 1, groups=8, bias=False), nn.BatchNorm2d(8), nn.ReLU6(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5),
    )  # fmt: skip


class Shuffled(nn.Module):
    """Halves of the channels, their number read from the shape, go separate ways and are interleaved, twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.ways = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1) for _ in range(2))
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for way in self.ways:
            stays, goes = x.chunk(2, 1)
            joined = torch.cat([stays, torch.relu(way(goes))], 1)
            x = joined.unflatten(1, (2, 4)).transpose(1, 2).flatten(1, 2)
        return self.head(x.mean((2, 3)))


def ready(model: nn.Module) -> nn.Module:
    """The model with batch-norm statistics that are not the identity."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return model.eval()


MODELS = {
    "residual": (Residual, 16),
    "excited": (Excited, 16),
    "joined": (Joined, 16),
    "depthwise": (depthwise, 16),
    "shuffled": (Shuffled, 16),
    "mobilenet_v3_small": (lambda: torchvision.models.mobilenet_v3_small(num_classes=7), 64),
}


@pytest.mark.parametrize("name", MODELS)
def test_torch_and_both_runtimes_agree(name: str, tmp_path: Path) -> None:
    build, size = MODELS[name]
    model, path = ready(build()), tmp_path / "model.onnx"
    export(model, size, path)
    image = np.random.default_rng(1).standard_normal((1, 3, size, size), dtype=np.float32)
    with torch.inference_mode():
        expected = model(torch.from_numpy(image)).numpy()
    (first,) = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(["logits"], {"input": image})
    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    np.testing.assert_allclose(first, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(compiled(image)["logits"], expected, rtol=1e-4, atol=1e-5)


def test_the_file_is_static_and_free_of_batch_norm_and_of_what_its_tracer_says(tmp_path: Path) -> None:
    export(ready(Residual()), 16, tmp_path / "model.onnx")
    model = onnx.load(tmp_path / "model.onnx")
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]
    (source,), (target,) = model.graph.input, model.graph.output
    assert (source.name, [size.dim_value for size in source.type.tensor_type.shape.dim]) == ("input", [1, 3, 16, 16])
    assert (target.name, [size.dim_value for size in target.type.tensor_type.shape.dim]) == ("logits", [1, 5])
    assert [node.op_type for node in model.graph.node] == [
        "Conv", "Relu", "Conv", "Add", "Relu", "GlobalAveragePool", "Flatten", "Gemm",
    ]  # fmt: skip
    assert not model.metadata_props and not model.doc_string
    assert not any(node.doc_string or node.metadata_props for node in model.graph.node)


def test_shapes_that_the_model_reads_are_constants_of_the_file(tmp_path: Path) -> None:
    export(ready(Shuffled()), 16, tmp_path / "model.onnx")
    kinds = {node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node}
    assert not kinds & {"Shape", "Gather", "Div"}
    # 8x8 outputs: the stem's 8 filters of 27 weights, two ways' 4 of 36; then the head's 8 by 5.
    assert count.macs(tmp_path / "model.onnx") == 64 * (8 * 27 + 2 * 4 * 36) + 40


def test_weights_of_equal_value_stay_apart_and_are_named_after_their_node(tmp_path: Path) -> None:
    model = nn.Sequential(*(nn.Sequential(nn.Conv2d(3, 3, 1, bias=False), nn.BatchNorm2d(3)) for _ in range(3)))
    export(model.append(nn.Flatten()), 4, tmp_path / "model.onnx")
    graph = onnx.load(tmp_path / "model.onnx").graph
    names = [f"/{k}/{k}.0/Conv.{kind}" for k in range(3) for kind in ("weight", "bias")]
    assert [tensor.name for tensor in graph.initializer] == names


def test_another_process_writes_the_same_bytes(tmp_path: Path) -> None:
    script = """
        import sys, torch
        from pathlib import Path
        from torch import nn
        from hqp.compress.exporting.export import export
        torch.manual_seed(0)
        layers = [nn.Conv2d(3, 64, 3, bias=False), nn.BatchNorm2d(64), nn.Hardswish(), nn.Conv2d(64, 9, 3)]
        export(nn.Sequential(*layers, nn.Flatten()), 8, Path(sys.argv[1]))
    """
    paths = [tmp_path / "first.onnx", tmp_path / "second.onnx"]
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    subprocess.run([sys.executable, "-c", textwrap.dedent(script), paths[0]], check=True, env=environment)
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 64, 3, bias=False), nn.BatchNorm2d(64), nn.Hardswish(), nn.Conv2d(64, 9, 3)]
    export(nn.Sequential(*layers, nn.Flatten()), 8, paths[1])
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_export_is_quiet_and_leaves_the_model_as_it_was(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    model = Residual().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    export(model, 16, tmp_path / "model.onnx")
    assert all(module.training for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(48, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x.flatten(1))


class Traced(Plain):
    """Gives something else where it is traced."""

    def forward(self, x: Tensor) -> Tensor:
        logits = super().forward(x)
        return -logits if torch.jit.is_tracing() else logits


class Single(Traced):
    """Knows float32 alone."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) @ torch.eye(2)


class Rounding(Plain):
    """Off by a hundredth, as a deep network can be in float32; its file is off by less."""

    def forward(self, x: Tensor) -> Tensor:
        logits = super().forward(x)
        if x.dtype == torch.float64:
            return logits
        return logits * (1.015 if torch.jit.is_tracing() else 1.01)


class Bright(Plain):
    """Gives something else where it is traced, for bright images alone."""

    def forward(self, x: Tensor) -> Tensor:
        logits = super().forward(x)
        return logits + nn.functional.relu(x.mean() - 5) if torch.jit.is_tracing() else logits


class Broken(Plain):
    def forward(self, x: Tensor) -> Tensor:
        raise KeyError("no such layer")


class Twofold(Plain):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.head(x.flatten(1))
        return logits, logits + 1


class Counting(Plain):
    """As many rows as there are bright pixels."""

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x.flatten(1)) + x.nonzero().sum(0)[:1] * 0


class Constant(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return self.head.weight[:, :1].T


class Casting(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        kernel = torch.ones(2, 3, 4, 4, dtype=torch.bfloat16)
        return nn.functional.conv2d(x.bfloat16(), kernel).float().flatten(1)


class ThroughNumpy(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.from_numpy(x.flatten(1).numpy()))


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (Casting, r"unsupported type: tensor\(bfloat16\).*; operators that ONNX has in opset 17, in float32"),
        (ThroughNumpy, r"looks at the values of the image at test_export\.py"),
        (Constant, "same for every image"),
        (Counting, "depends on the image"),
        (Traced, "gives other logits"),
        (Single, "gives other logits"),
        (Broken, "no such layer"),
        (Twofold, "outputs"),
        (lambda: nn.Linear(5, 2), "shapes cannot be multiplied"),
    ],
)
def test_what_cannot_be_traced_is_refused_and_nothing_is_written(model: type, reason: str, tmp_path: Path) -> None:
    with pytest.raises(HqpError, match=f"cannot be exported: .*{reason}"):
        export(model(), 4, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_a_file_may_be_off_by_as_much_as_float32_is(tmp_path: Path) -> None:
    export(Rounding(), 4, tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").exists()


def test_more_weights_than_a_file_holds_are_refused_before_the_trace(tmp_path: Path) -> None:
    with pytest.raises(HqpError, match=r"^the model's weights take 2\.15 GB, and an ONNX file holds 2\.15 GB"):
        export(nn.Linear(2**15, 2**14, bias=False, device="meta"), 4, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_the_file_is_compared_on_every_image_given(tmp_path: Path) -> None:
    images = np.zeros((3, 3, 4, 4), np.float32)
    export(Bright(), 4, tmp_path / "model.onnx", images)
    images[2] = 6
    with pytest.raises(HqpError, match="gives other logits"):
        export(Bright(), 4, tmp_path / "bright.onnx", images)
    assert not (tmp_path / "bright.onnx").exists()


class Unsupported(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(torch.special.i0(x))


def test_an_operator_that_onnx_lacks_is_named_in_one_line_and_no_graph_is_printed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    print("before")  # what waits to be written is not lost
    with pytest.raises(
        HqpError, match=r"^the model cannot be exported: [^\n]*'aten::i0'[^\n]*; operators that ONNX has"
    ):
        export(Unsupported(), 4, tmp_path / "model.onnx")
    assert capfd.readouterr() == ("before\n", "")


class Normalised(nn.Module):
    """Torch exports the normalisation with a branch whose condition is a matter of shapes."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 8, 3), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.local_response_norm(torch.relu(self.stem(x)), 3)
        return self.head(nn.functional.local_response_norm(x, 5, alpha=0.1).mean((2, 3)))


def same(kernel: int, dilation: int) -> nn.Module:
    inner = nn.Conv2d(3, 4, kernel, padding="same", dilation=dilation)
    return nn.Sequential(inner, nn.ReLU(), nn.Conv2d(4, 5, 3, padding="valid"), nn.AdaptiveAvgPool2d(1), nn.Flatten())


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize(
    "build", [Normalised, lambda: same(5, 2), lambda: same(4, 3), lambda: same(3, 1)], ids=["lrn", "5x2", "4x3", "3x1"]
)
def test_branches_on_shapes_and_padding_by_name_are_settled_in_the_file(
    build: Callable[[], nn.Module], tmp_path: Path
) -> None:
    export(ready(build()), 12, tmp_path / "model.onnx", np.ones((2, 3, 12, 12), np.float32))
    nodes = onnx.load(tmp_path / "model.onnx").graph.node
    assert not {node.op_type for node in nodes} & {"If", "Identity", "Shape", "Constant"}
    assert "auto_pad" not in {attribute.name for node in nodes for attribute in node.attribute}
