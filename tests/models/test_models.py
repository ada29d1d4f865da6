"""Models of libraries and of one's own: found by a name with an argument, built for a number of classes."""

from __future__ import annotations

import importlib.util
import urllib.error
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from hqp import catalog
from hqp.errors import HqpError, UnknownName
from hqp.models import python

OWN = """
from torch import nn
from blocks import WIDTH

input_size = 20
training = {"batch": 16}

def build(num_classes):
    return nn.Sequential(nn.Conv2d(3, WIDTH, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(WIDTH, num_classes))

def fixed():
    return build(7)
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "blocks.py").write_text("WIDTH = 6\n")
    (tmp_path / "unused.py").write_text("WIDTH = 6\n")
    (tmp_path / "net.py").write_text(OWN)
    return tmp_path / "net.py"


def outputs(model: nn.Module, size: int) -> tuple[int, ...]:
    with torch.inference_mode():
        return tuple(model.eval()(torch.zeros(1, 3, size, size)).shape)


@pytest.mark.parametrize("name", ["shufflenet_v2_x0_5", "googlenet", "mobilenet_v3_small"])
def test_a_model_of_torchvision_has_as_many_outputs_as_asked_for(name: str) -> None:
    found = catalog.load("models", f"torchvision:{name}")
    assert (outputs(found.build(5), found.input_size), found.input_size) == ((1, 5), 224)


def test_a_model_of_timm_has_as_many_outputs_as_asked_for() -> None:
    pytest.importorskip("timm")
    found = catalog.load("models", "timm:test_resnet.r160_in1k")
    assert (outputs(found.build(5), 64), found.input_size) == ((1, 5), 160)


def test_a_function_of_a_file_builds_the_model(own: Path) -> None:
    found = catalog.load("models", f"{own}:build")
    assert (outputs(found.build(5), found.input_size), found.input_size) == ((1, 5), 20)
    assert (found.training, catalog.load("models", "torchvision:resnet18").training) == ({"batch": 16}, {})
    assert outputs(catalog.load("models", f"{own}:fixed").build(5), 20) == (1, 7)


def test_a_function_of_a_module_builds_the_model(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = own.parent / "nets_of_a_test"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "small.py").write_text("from torch import nn\ndef build(n): return nn.Linear(3, n)\n")
    monkeypatch.syspath_prepend(str(own.parent))
    assert isinstance(catalog.load("models", "nets_of_a_test.small:build").build(2), nn.Linear)


def test_a_changed_file_is_another_model(own: Path) -> None:
    def digest() -> str:
        return str(catalog.load("models", f"{own}:build").digest)

    first = digest()
    (own.parent / "unused.py").write_text("WIDTH = 7\n")
    assert digest() == first
    (own.parent / "blocks.py").write_text("WIDTH = 8\n")
    assert digest() != first


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("torchvision:resnet5", r"unknown model of torchvision 'resnet5'; did you mean resnet50"),
        ("torchvision", r"'torchvision' is no model; torchvision:NAME"),
        ("resnet18:50", r"'resnet18:50' is no model; resnet18"),
        ("absent/net.py:build", r"there is no file absent/net.py"),
        ("net.py", r"'net.py' names no function; FILE.py:FUNCTION"),
        ("absent.module:build", r"absent.module cannot be imported \(No module named 'absent'\)"),
        ("renset18", r"unknown model 'renset18'; did you mean resnet18"),
    ],
)
def test_a_wrong_name_is_refused_with_what_would_be_right(name: str, said: str) -> None:
    with pytest.raises(HqpError, match=said):
        catalog.load("models", name)


def test_a_file_without_the_function_or_with_an_error_is_refused(own: Path) -> None:
    with pytest.raises(HqpError, match="has no function 'make'"):
        catalog.load("models", f"{own}:make")
    own.write_text("import nothing_of_that_name\n")
    with pytest.raises(HqpError, match=r"cannot be imported .*nothing_of_that_name"):
        catalog.load("models", f"{own}:build")
    own.write_text("def build(:\n")
    with pytest.raises(HqpError, match="cannot be imported"):
        catalog.load("models", f"{own}:build")


def test_an_unknown_model_of_timm_is_refused() -> None:
    pytest.importorskip("timm")
    with pytest.raises(UnknownName, match="did you mean"):
        catalog.load("models", "timm:mobilenetv4_conv_smal")


def test_weights_that_cannot_be_downloaded_are_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def unreachable(*args: Any, **options: Any) -> Any:
        raise urllib.error.URLError("no network")

    monkeypatch.setattr("torch.hub.download_url_to_file", unreachable)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    found = catalog.load("models", "torchvision:mobilenet_v3_small")
    with pytest.raises(HqpError, match=r"MobileNet_V3_Small_Weights.DEFAULT cannot be had .*--weights FILE"):
        found.pretrained()


def test_the_input_of_torchvision_s_weights_is_read_from_them(monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.models import ResNet50_Weights

    monkeypatch.setattr(ResNet50_Weights, "get_state_dict", lambda self, **options: {"a": torch.zeros(1)})
    found = catalog.load("models", "torchvision:resnet50").pretrained()
    assert (found.input_size, round(224 / found.reading.crop)) == (224, 232)
    assert (found.reading.mean, found.reading.interpolation) == ((0.485, 0.456, 0.406), "bilinear")


def test_python_is_where_a_dotted_name_goes(own: Path) -> None:
    assert importlib.util.find_spec("hqp.models.python") is not None
    assert python.bind(f"{own}:build").digest == catalog.load("models", f"python:{own}:build").digest
