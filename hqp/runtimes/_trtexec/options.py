"""The command lines of ``trtexec``, in the words that the one at hand understands.

Which those are is read from its own ``--help``, never concluded from a version: NVIDIA has added, renamed and removed
options in patch releases.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from hqp.errors import HqpError

OPTION = re.compile(r"--[A-Za-z][A-Za-z0-9]*")

# Precision flags that a weakly typed build takes, by precision; INT8 leaves what is not quantised to FP16.
PRECISION_FLAGS = {"fp32": (), "fp16": ("--fp16",), "int8": ("--fp16", "--int8")}

# Enough for every tactic of a small CNN, and what a Nano of 4 GiB shared by CPU and GPU can give.
WORKSPACE_MIB = 512


@dataclass(frozen=True)
class Options:
    """The options that one ``trtexec`` lists."""

    known: frozenset[str]

    @classmethod
    def of_help(cls, text: str) -> Options:
        """The options in the text that ``trtexec --help`` prints.

        Raises:
            HqpError: it is no help of trtexec.
        """
        known = frozenset(OPTION.findall(text))
        if not {"--onnx", "--saveEngine", "--loadEngine", "--exportTimes"} <= known:
            raise HqpError("what 'trtexec --help' prints lists none of its options", "NVIDIA's trtexec", "TRTEXEC=PATH")
        return cls(known)

    @property
    def strongly_typed(self) -> bool:
        """Whether the file alone says what runs in which precision: TensorRT 11 has no flags for it any more."""
        return "--fp16" not in self.known

    def build(self, onnx: str, engine: str, cache: str, precision: str, dla_core: int | None = None) -> tuple[str, ...]:
        """Builds an engine of an ONNX file and runs nothing."""
        words = [f"--onnx={onnx}", f"--saveEngine={engine}", f"--timingCacheFile={cache}"]
        # 8.2 knows one, 8.4 and 8.5 both, 10 the other only.
        if "--memPoolSize" in self.known:
            words.append(f"--memPoolSize=workspace:{WORKSPACE_MIB}")
        else:
            words.append(f"--workspace={WORKSPACE_MIB}")
        words.append(self._first("--skipInference", "--buildOnly"))
        words.append("--profilingVerbosity=detailed")
        if not self.strongly_typed:
            words += PRECISION_FLAGS[precision]
        if dla_core is not None:
            # Layers that the core does not have run on the GPU; without this the build would fail.
            words += [f"--useDLACore={dla_core}", "--allowGPUFallback"]
        return tuple(words)

    def time(
        self, engine: str, times: str, *, iterations: int, warmup_ms: int, duration_s: int, dla_core: int | None = None
    ) -> tuple[str, ...]:
        """Times single inferences, with no transfers, as a CUDA graph where the engine allows it."""
        words = [f"--loadEngine={engine}", f"--exportTimes={times}", f"--warmUp={warmup_ms}"]
        words += [f"--iterations={iterations}", f"--duration={duration_s}"]
        # Defaults from TensorRT 11 on, where these words are deprecated: asked for everywhere else.
        asked = ["--noDataTransfers", "--useSpinWait", "--useCudaGraph"]
        if dla_core is not None:
            asked.remove("--useCudaGraph")
        if "--includeDataTransfers" not in self.known:
            words += asked
        elif dla_core is not None:
            words.append("--noCudaGraph")
        return (*words, *self._core(dla_core))

    def profile(self, engine: str, profile: str, layers: str, dla_core: int | None = None) -> tuple[str, ...]:
        """Times every layer, in a run of its own: a profiler slows the whole."""
        words = (f"--loadEngine={engine}", f"--exportProfile={profile}", f"--exportLayerInfo={layers}")
        return (*words, "--separateProfileRun", "--duration=1", *self._core(dla_core))

    def run(
        self, engine: str, inputs: Sequence[tuple[str, str]], output: str, dla_core: int | None = None
    ) -> tuple[str, ...]:
        """Runs an engine once on files of raw numbers, by input name, and exports what it gives."""
        loaded = ",".join(f"'{name}':{file}" for name, file in inputs)
        words = [f"--loadEngine={engine}", f"--loadInputs={loaded}", f"--exportOutput={output}"]
        words += ["--iterations=1", "--duration=0", "--warmUp=0"]
        if "--includeDataTransfers" in self.known:
            words.append("--includeDataTransfers")
        return (*words, *self._core(dla_core))

    @staticmethod
    def _core(dla_core: int | None) -> tuple[str, ...]:
        # An engine for a DLA core is opened on one.
        return () if dla_core is None else (f"--useDLACore={dla_core}",)

    def _first(self, *names: str) -> str:
        for name in names:
            if name in self.known:
                return name
        raise HqpError(f"this trtexec has none of {', '.join(names)}", "TensorRT 8.2 to 11", "TRTEXEC=PATH")
