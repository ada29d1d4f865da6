"""``hqp doctor``: what is usable here and, for what is not, the command that makes it so. Nothing heavy is imported."""

from __future__ import annotations

import os
import platform
import tempfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType

import hqp
from hqp import catalog, transport
from hqp.errors import HqpError, NotInstalled
from hqp.run.inputs import checkpoints
from hqp.run.plugins import Plugins
from hqp.runtimes._tensorrt import nvidia

# Distributions by extra; the empty extra is what every installation has.
PACKAGES = {
    "": ("numpy", "onnx", "opencv-python-headless", "pillow", "pytest"),
    "compress": ("torch", "torchvision", "safetensors", "onnxscript"),
    "openvino": ("openvino",),
    "onnxruntime": ("onnxruntime",),
    "timm": ("timm",),
    "jetson": ("tensorrt", "pycuda"),
    "tensorrt-contract": nvidia.PACKAGES,
}
PLUGINS = ("datasets", "models", "exports", "runtimes", "devices", "probes")


@dataclass(frozen=True)
class Finding:
    """One thing that may be usable here; ``state`` says what it is, ``fix`` the command where it is not usable."""

    kind: str
    name: str
    usable: bool
    state: str
    fix: str | None = None


def doctor() -> tuple[Finding, ...]:
    """What is usable here: the machine, packages, plug-ins, checkpoints and data."""
    return (_machine(), *_packages(), *_plugins(), _parser(), *_checkpoints(), _data())


def _machine() -> Finding:
    system = f"{platform.system()} {platform.machine()}, {os.cpu_count()} logical CPUs"
    return Finding("machine", f"hqp {hqp.__version__}", True, f"Python {platform.python_version()}, {system}")


def _packages() -> list[Finding]:
    found = []
    for extra, names in PACKAGES.items():
        for name in names:
            try:
                found.append(Finding("package", name, True, version(name)))
            except PackageNotFoundError:
                fix = f"pip install 'hqp[{extra}]'" if extra else "pip install hqp"
                found.append(Finding("package", name, False, "not installed", fix))
    return found


def _plugins() -> list[Finding]:
    return [_plugin(kind, name) for kind in PLUGINS for name in catalog.names(kind)]


def _plugin(kind: str, name: str) -> Finding:
    word = catalog.singular(kind)
    try:
        _usable(kind, name)
    except NotInstalled as error:
        return Finding(word, name, False, error.wrong, error.fix)
    except HqpError as error:
        return Finding(word, name, False, " ".join(error.wrong.split()), error.fix or error.right or None)
    except ImportError as error:
        return Finding(word, name, False, " ".join(str(error).split()))
    return Finding(word, name, True, "ready")


def _usable(kind: str, name: str) -> None:
    """A device is as usable as the runtime it names; what a plug-in is bound to is not looked at."""
    plugin = catalog.require(kind, name)
    if hasattr(plugin, "elsewhere"):
        _require_board(name, plugin)
        return
    runtime = catalog.require("runtimes", plugin.device.runtime) if hasattr(plugin, "device") else plugin
    if hasattr(runtime, "require_usable"):
        runtime.require_usable()


def _require_board(name: str, plugin: ModuleType) -> None:
    """Sees that a board is at hand, here or where ``HQP_HOST`` says, ready to be measured and with its runtime."""
    plugins = Plugins()
    device = plugins.device(name)
    host = transport.host(device.host)
    recognises = getattr(plugin, "recognises", None)
    if host is transport.HERE and not (recognises and recognises(host)):
        wrong = f"not here; {device.stand_in} stands in for it in hqp compress"
        raise HqpError(wrong, "hqp bench --host USER@BOARD measures it")
    plugin.facts(host)
    plugins.runtime(device).version(host)


def _parser() -> Finding:
    """NVIDIA's ONNX parser, which needs no GPU; it is asked about a file of one node, so that it is known to answer."""
    name = "NVIDIA's ONNX parser"
    if not nvidia.installed():
        fix = "pip install 'hqp[tensorrt-contract]'"
        return Finding("parser", name, False, "not installed; files for TensorRT are seen by the lint alone", fix)
    with tempfile.TemporaryDirectory(prefix="hqp-") as folder:
        file = Path(folder, "relu.onnx")
        file.write_bytes(_one_node())
        try:
            (answer,) = nvidia.ask([file])
        except HqpError as error:
            return Finding("parser", name, False, error.wrong, f"pip install {' '.join(nvidia.PACKAGES)}")
    refusal = str(answer.refusals[0]) if answer.refusals else ""
    return Finding("parser", name, not refusal, refusal or "asked about each file that is made for TensorRT")


def _one_node() -> bytes:
    from onnx import TensorProto, helper

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2]) for name in ("input", "logits")]
    graph = helper.make_graph([helper.make_node("Relu", ["input"], ["logits"], "relu")], "one", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content


def _checkpoints() -> list[Finding]:
    """The checkpoints there are, and what would make those that `hqp train` makes as it is."""
    datasets = [name for name in catalog.names("datasets") if getattr(catalog.find("datasets", name), "native_size", 0)]
    models = [name for name in catalog.names("models") if not hasattr(catalog.find("models", name), "argument")]
    found = []
    for dataset in datasets:
        for model in models:
            file = checkpoints.checkpoint(model, dataset)
            state = f"in {file.parent}" if file.is_file() else "not trained"
            fix = None if file.is_file() else f"hqp train {model} --dataset {dataset}"
            found.append(Finding("checkpoint", f"{model} on {dataset}", file.is_file(), state, fix))
    return found


def _data() -> Finding:
    name, fix = "HQP_DATA", "export HQP_DATA=DIR"
    root = os.environ.get(name)
    if root is None:
        return Finding("data", name, False, "not set; datasets that are not rendered are read from it", fix)
    if not Path(root).is_dir():
        return Finding("data", name, False, f"{root} is no directory", fix)
    return Finding("data", name, True, root)
