"""What NVIDIA's own parser and builder say of a file, asked where there is no GPU: TensorRT for RTX.

They are asked in a process of their own, ``python -m hqp.runtimes._tensorrt.nvidia [CAPABILITY …] FILE …``: what is not
freed in the right order there ends the process.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hqp.errors import HqpError
from hqp.runtimes._tensorrt.network import Network, Refusal
from hqp.transport import HERE

MODULE = "tensorrt_rtx_bindings"
PACKAGES = ("tensorrt-rtx-cu13-bindings", "tensorrt-rtx-cu13-libs")

# A layer of an engine as the builder logs it, its name without the suffix of the builder's graph compiler.
LAYER = re.compile(r"Name: (\S+?)(?:_myl\d+_\d+)?, LayerType: (\w+), Inputs: (.*?)(?:, Constants|, Outputs)")
TYPE = re.compile(r"Datatype: (\w+)")

TIMEOUT_S = 600.0


@dataclass(frozen=True)
class Answer:
    """What NVIDIA says of a file: what its parser refuses, and the engine it builds for each compute capability.

    ``layers`` holds, by capability and layer, the types of what the layer reads: ``{"86": {"/conv1/Conv": ["Int8"]}}``.
    ``unbuilt`` holds the builder's reason, by capability, where it builds none.
    """

    refusals: tuple[Refusal, ...]
    layers: dict[str, dict[str, list[str]]]
    unbuilt: dict[str, str]


def installed() -> bool:
    """Whether NVIDIA's parser is there to be asked."""
    return importlib.util.find_spec(MODULE) is not None


def ask(files: Sequence[Path], capabilities: Sequence[str] = ()) -> tuple[Answer, ...]:
    """What NVIDIA says of each file, engines being built for these compute capabilities, ``86`` say.

    Raises:
        HqpError: the parser is not installed, or its process ended.
    """
    words = [sys.executable, "-m", __name__, *capabilities, *map(str, files)]
    done = HERE.run(words, timeout_s=TIMEOUT_S)
    answers = json.loads(done.stdout.splitlines()[-1])
    return tuple(_answer(told) for told in answers)


def require_parsed(file: Path) -> None:
    """Passes a file that NVIDIA's parser takes, and every file where that parser is not installed.

    Raises:
        HqpError: it refuses the file; with the node and its reason.
    """
    if not installed():
        return
    (answer,) = ask([file])
    if answer.refusals:
        raise HqpError(
            f"NVIDIA's parser refuses {file}: {answer.refusals[0]}", "a file that every TensorRT takes", "hqp doctor"
        )


def _answer(told: dict[str, Any]) -> Answer:
    return Answer(tuple(Refusal(**one) for one in told["refusals"]), told["layers"], told["unbuilt"])


def _asked(file: Path, capabilities: Sequence[str]) -> Answer:
    trt = importlib.import_module(MODULE)
    layers: dict[str, dict[str, list[str]]] = {}
    unbuilt: dict[str, str] = {}
    with Network(trt, file) as network:
        for capability in () if network.refusals else capabilities:
            config = network.config()
            config.num_compute_capabilities = 1
            config.set_compute_capability(getattr(trt.ComputeCapability, f"SM{capability}"), 0)
            network.lines.clear()
            try:
                network.build(config)
            except HqpError as error:
                unbuilt[capability] = str(error)
            del config
            layers[capability] = _layers(network.lines)
    return Answer(network.refusals, layers, unbuilt)


def _layers(lines: Sequence[str]) -> dict[str, list[str]]:
    """The types that each logged layer reads, by its name, sorted and without repeats."""
    found = [match for match in map(LAYER.search, lines) if match]
    return {match[1]: sorted(set(TYPE.findall(match[3]))) for match in found}


def main(words: Sequence[str]) -> None:
    """Prints the answers of the files among the words, for the capabilities among them, as one line of JSON."""
    capabilities = [word for word in words if word.isdecimal()]
    files = [Path(word) for word in words if not word.isdecimal()]
    print(json.dumps([asdict(_asked(file, capabilities)) for file in files]))


if __name__ == "__main__":
    main(sys.argv[1:])
