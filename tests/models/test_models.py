"""Models of libraries and of one's own: found by a name with an argument, built for a number of classes."""

from __future__ import annotations

import importlib.util
import re
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
        ("absent.module:build", r"absent.module cannot be imported \(ModuleNotFoundError: No module named 'absent'\)"),
        ("renset18", r"unknown model 'renset18'; did you mean resnet18"),
    ],
)
def test_a_wrong_name_is_refused_with_what_would_be_right(name: str, said: str) -> None:
    with pytest.raises(HqpError, match=said):
        catalog.load("models", name)


def test_a_file_without_the_function_or_with_an_error_is_refused(own: Path) -> None:
    with pytest.raises(HqpError, match="has no function 'make'"):
        catalog.load("models", f"{own}:make")
    with pytest.raises(HqpError, match=r"has no function 'biuld'; did you mean build\?; try: .*:build"):
        catalog.load("models", f"{own}:biuld")
    own.write_text("import nothing_of_that_name\n")
    with pytest.raises(HqpError, match=r"cannot be imported .*nothing_of_that_name"):
        catalog.load("models", f"{own}:build")
    own.write_text("def build(:\n")
    with pytest.raises(HqpError, match="cannot be imported"):
        catalog.load("models", f"{own}:build")


RUNS = "code that runs in this environment"
BROKEN = {
    'raise RuntimeError("boom")': f"net.py cannot be imported (RuntimeError: boom, net.py line 1); {RUNS}",
    "import sys\nsys.exit(0)": f"net.py cannot be imported (SystemExit: 0, net.py line 2); {RUNS}",
    "class Odd(Exception): ...\nraise Odd": f"net.py cannot be imported (Odd, net.py line 2); {RUNS}",
    "width = a": f"net.py cannot be imported (NameError: name 'a' is not defined, net.py line 1); {RUNS}",
    "def build(a, b): ...": (
        "net.py:build(a, b) needs other arguments than the number of classes; def build(num_classes)"
    ),
    "def build(*, classes): ...": (
        "net.py:build(*, classes) needs other arguments than the number of classes; def build(num_classes)"
    ),
    "def build(n):\n    return nn.Linear(3, n)": (
        "net.py:build does not build a model of 5 classes (NameError: name 'nn' is not defined, net.py line 2)"
    ),
    "def build(n):\n    import sys\n    sys.exit(0)": (
        "net.py:build does not build a model of 5 classes (SystemExit: 0, net.py line 3)"
    ),
    "from torch import nn\ndef build(n):\n    return nn.Conv2d(3, 4, groups=2)": (
        "net.py:build does not build a model of 5 classes (TypeError: Conv2d.__init__() missing 1 required positional "
        "argument: 'kernel_size', net.py line 3)"
    ),
    **{
        f"input_size = {size}\ndef build(n): ...": (
            f"input_size of net.py is {size}; a whole number of pixels from 8 to 4096, the height and the width; "
            "try: input_size = 224"
        )
        for size in ("'32'", "-3", "(32, 32)", "None", "32.0", "True", "7", "4097")
    },
}


@pytest.mark.parametrize(("text", "said"), BROKEN.items())
def test_a_file_that_breaks_is_told_in_one_line_with_its_place(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(text)
    with pytest.raises(HqpError) as refused:
        catalog.load("models", "net.py:build").build(5)
    assert str(refused.value) == said


@pytest.mark.parametrize(
    "arguments", ["num_classes", "n", "n, width=8", "width=8, num_classes=2", "*sizes", "**options", "*, num_classes"]
)
def test_the_number_of_classes_is_given_by_name_or_by_place(arguments: str, tmp_path: Path) -> None:
    names = "num_classes n sizes options"
    (tmp_path / "net.py").write_text(
        "from torch import nn\n"
        f"def build({arguments}):\n"
        f"    given = [value for name, value in locals().items() if name in '{names}'.split()][0]\n"
        "    (given,) = given.values() if type(given) is dict else given if type(given) is tuple else (given,)\n"
        "    return nn.Linear(3, given)\n"
    )
    assert catalog.load("models", f"{tmp_path}/net.py:build").build(5).out_features == 5


def test_an_unknown_model_of_timm_is_refused() -> None:
    pytest.importorskip("timm")
    with pytest.raises(UnknownName, match="did you mean"):
        catalog.load("models", "timm:mobilenetv4_conv_smal")
    with pytest.raises(UnknownName) as refused:
        catalog.load("models", "timm:nope")
    assert re.fullmatch(
        r"unknown model of timm 'nope'; there are [\d,]+; the nearest: (\w+, ){2}\w+; try: python -c .*",
        str(refused.value),
    )


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
