"""Every class, method, flag and enum that the runtime uses is in NVIDIA's own Python bindings, version by version.

The bindings are loaded beside libraries that do nothing, since NVIDIA's need a GPU; which names there are does not
depend on them. The interface of TensorRT 11 is run as well: TensorRT for RTX has it, and parses and builds.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from hqp.compress.exporting.export import export
from hqp.compress.quantisation import qdq
from hqp.records import Policy
from hqp.runtimes import tensorrt as runtime
from hqp.runtimes._tensorrt import execution, network, nvidia

MODULES = (runtime, network, execution)

# The class that a local variable of these modules is of.
CLASSES = {
    "builder": "Builder",
    "cache": "ITimingCache",
    "config": "IBuilderConfig",
    "context": "IExecutionContext",
    "creation": "NetworkDefinitionCreationFlag",
    "engine": "ICudaEngine",
    "error": "ParserError",
    "inspector": "EngineInspector",
    "parser": "OnnxParser",
    "plan": "IHostMemory",
    "runtime": "Runtime",
    "timed": "ITimingCache",
}
# What each version has not: the runtime asks before it uses one of these, or has another way.
OLD = {
    "ICudaEngine.num_bindings",
    "ICudaEngine.get_binding_name",
    "ICudaEngine.get_binding_dtype",
    "ICudaEngine.get_binding_shape",
    "ICudaEngine.binding_is_input",
    "IExecutionContext.execute_async_v2",
}
WEAKLY_TYPED = {"BuilderFlag.FP16", "BuilderFlag.INT8", "NetworkDefinitionCreationFlag.EXPLICIT_BATCH"}
ABSENT = {
    "8.6.1": {
        "NetworkDefinitionCreationFlag.STRONGLY_TYPED",
        "ParserError.node_name",
        "ParserError.node_operator",
    },
    "10.16.1.11": OLD,
    "11.4.0.106": OLD | WEAKLY_TYPED,
}

SYMBOLS = (
    "createInferBuilder_INTERNAL",
    "createInferRefitter_INTERNAL",
    "createInferRuntime_INTERNAL",
    "createNvOnnxParser_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL",
    "getBuilderPluginRegistry",
    "getPluginRegistry",
    "getNvOnnxParserVersion",
    "initLibNvInferPlugins",
    # Of the two parsers that TensorRT 8 has beside ONNX's.
    "_ZN11nvuffparser15createUffParserEv",
    "_ZN11nvuffparser23shutdownProtobufLibraryEv",
    "_ZN11nvuffparser8FieldMapC1EPKcPKvNS_9FieldTypeEi",
    "_ZN14nvcaffeparser117createCaffeParserEv",
    "_ZN14nvcaffeparser123shutdownProtobufLibraryEv",
)
LIBRARIES = ("nvinfer", "nvinfer_plugin", "nvonnxparser", "nvparsers")

# Which of the names that come in are not in the module.
MISSING = """
import importlib.util, json, sys
from importlib.machinery import ExtensionFileLoader
file, names = sys.argv[1], sys.argv[2:]
loader = ExtensionFileLoader("tensorrt", file)
module = importlib.util.module_from_spec(importlib.util.spec_from_file_location("tensorrt", file, loader=loader))
loader.exec_module(module)

def there(name):
    found = module
    for part in name.split("."):
        if not hasattr(found, part):
            return False
        found = getattr(found, part)
    return True

print(json.dumps([name for name in names if not there(name)]))
"""


def used() -> set[str]:
    """``Class.member`` for all that the runtime's modules take from TensorRT."""
    return {name for module in MODULES for name in _used(Path(str(module.__file__)))}


def _used(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            head, _, rest = ast.unparse(node).partition(".")
            if head == "trt" and not rest.startswith("__"):
                yield rest
            elif head in CLASSES and "." not in rest:
                yield f"{CLASSES[head]}.{rest}"
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "hasattr":
            of, name = ast.unparse(node.args[0]), ast.literal_eval(node.args[1])
            owner = CLASSES.get(of, of.removeprefix("trt."))
            yield f"{owner}.{name}"


def test_the_names_are_found_in_the_source() -> None:
    names = used()
    assert {"OnnxParser.parse", "IExecutionContext.execute_async_v3", "BuilderFlag.FP16", "TensorIOMode.INPUT"} <= names
    assert {"ICudaEngine.num_io_tensors", "EngineInspector.get_engine_information", "ITimingCache.serialize"} <= names
    assert len(names) > 35


def bindings(version: str, folder: Path) -> Path:
    """NVIDIA's compiled module of a version, out of the wheel in the folder that HQP_TENSORRT_BINDINGS names."""
    wheels = os.environ.get("HQP_TENSORRT_BINDINGS", "")
    wheel = next(iter(sorted(Path(wheels).rglob(f"tensorrt*bindings-{version}-*.whl"))), None) if wheels else None
    if wheel is None:
        pytest.skip(f"HQP_TENSORRT_BINDINGS names no folder with the bindings {version}: nox -s tensorrt-contract")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder)
    return next(folder.rglob("tensorrt.so"))


def do_nothing(folder: Path, major: str) -> None:
    """Libraries that have the names which the bindings link, and nothing behind them."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    source = folder / "nothing.c"
    source.write_text("".join(f"void* {symbol}(void) {{ return 0; }}\n" for symbol in SYMBOLS))
    for library in LIBRARIES:
        name = f"lib{library}.so.{major}"
        words = [compiler, "-shared", "-fPIC", "-o", str(folder / name), f"-Wl,-soname,{name}", str(source)]
        subprocess.run(words, check=True)


@pytest.mark.parametrize("version", ABSENT)
def test_each_version_has_every_name_that_the_runtime_uses_of_it(version: str, tmp_path: Path) -> None:
    module = bindings(version, tmp_path / "wheel")
    do_nothing(tmp_path, version.partition(".")[0])
    environment = {**os.environ, "LD_LIBRARY_PATH": str(tmp_path)}
    words = [sys.executable, "-c", MISSING, str(module), *sorted(used())]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    assert set(json.loads(done.stdout)) == ABSENT[version]


def test_what_one_version_lacks_another_has() -> None:
    assert not set.intersection(*ABSENT.values())


# --- TensorRT 11's interface, run -----------------------------------------------------------------------------------

BUILD = """
import importlib, sys
from pathlib import Path
from hqp.runtimes._tensorrt import network
from hqp.runtimes import tensorrt as runtime

trt = importlib.import_module("tensorrt_rtx_bindings")
file, folder = Path(sys.argv[1]), Path(sys.argv[2])
assert network.strongly_typed(trt) and network.reads_int8_weights(trt)
typed = network.typed_for(trt, file, folder)
create = trt.Builder.create_builder_config

def for_a_gpu_that_is_not_here(builder):
    config = create(builder)
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM86, 0)
    return config

trt.Builder.create_builder_config = for_a_gpu_that_is_not_here
plan = runtime.build(trt, typed, folder / "cache" / "timing")
print(typed.name, len(plan), (folder / "cache" / "timing").stat().st_size)
"""


@pytest.fixture(scope="module")
def quantised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("network")
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(3, 16, 3), torch.nn.ReLU(), torch.nn.Conv2d(16, 16, 3), torch.nn.Flatten()]
    export(torch.nn.Sequential(*layers, torch.nn.Linear(16 * 12 * 12, 5)).eval(), 16, folder / "fp32.onnx")
    policy = Policy("int8", symmetric=True, float_results=True)
    ranges = dict.fromkeys(qdq.tensors(folder / "fp32.onnx", policy), (-3.0, 3.0))
    qdq.quantize(folder / "fp32.onnx", folder / "int8.onnx", ranges, policy)
    return folder / "int8.onnx"


@pytest.mark.skipif(not nvidia.installed(), reason="needs TensorRT for RTX: nox -s tensorrt-contract")
def test_tensorrt_11_parses_and_builds_by_the_runtime_itself(quantised: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-c", BUILD, str(quantised), str(tmp_path)]
    for _ in range(2):  # the second time with what the first has timed
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        name, plan, cache = done.stdout.split()
        assert name == "typed.onnx" and int(plan) > 10_000 and int(cache) > 0


@pytest.mark.skipif(not nvidia.installed(), reason="needs TensorRT for RTX: nox -s tensorrt-contract")
def test_what_the_parser_refuses_is_said_with_its_node(quantised: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(quantised.read_bytes().replace(b"QuantizeLinear", b"QuantiseLinear"))
    script = BUILD.replace("typed = network.typed_for(trt, file, folder)", "typed = file")
    done = subprocess.run([sys.executable, "-c", script, str(broken), str(tmp_path)], capture_output=True, text=True)
    assert re.search(r"HqpError: TensorRT does not take .*broken\.onnx: .*Quantise", done.stderr), done.stderr
