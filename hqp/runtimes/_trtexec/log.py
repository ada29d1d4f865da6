"""The log of a ``trtexec`` run: which version ran, how it ended, what it summed up, and what it warned of."""

from __future__ import annotations

import re
from dataclasses import dataclass

# The first and the last line; a build number follows from TensorRT 10.7 on.
FRAME = re.compile(
    r"^&&&& (RUNNING|PASSED|FAILED|WAIVED) TensorRT\.trtexec \[TensorRT v(\d{1,9})\](?: \[b(\d+)\])? #", re.MULTILINE
)
# Date, severity, and `[TRT]` where the library itself speaks.
LINE = re.compile(r"^(?:\[\d\d/\d\d/\d{4}-\d\d:\d\d:\d\d\] )?\[([IWEVF])\] (?:\[TRT\] )?(.*)$")
# C++ writes floats with six significant digits: `5`, `0.5`, `1e-05`, `inf`.
NUMBER = r"(-?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|inf|nan))"
THROUGHPUT = re.compile(rf"^Throughput: {NUMBER} qps$")
STATISTICS = re.compile(rf"^([A-Z][\w -]*): min = {NUMBER} ms, max = {NUMBER} ms, (?:mean|median) = .*$")
STATISTIC = re.compile(rf"(\w+(?:\(\d+(?:\.\d+)?%\))?) = {NUMBER} ms")

# From this number on, a version has two digits for each of its parts; before, minor has one digit and patch two.
FIRST_OF_TEN = 100_000

GRAPH_CAPTURED = "Successfully captured CUDA graph"
GRAPH_REFUSED = ("not permitted under CUDA graph capture mode", "CUDA graph capture failed", "option has been disabled")
# Said where times cannot be trusted as they stand.
DOUBTS = ("Throughput may be bound by", "GPU compute time is unstable")


@dataclass(frozen=True)
class Log:
    """What a log says.

    ``version`` is ``8.2.1`` or ``10.3.0``, empty where no line tells. ``outcome`` is ``PASSED``, ``FAILED`` or
    ``WAIVED``, empty where the run was cut off. ``statistics_ms`` maps a row of the summary, ``GPU Compute Time`` say,
    to its statistics by name, ``median`` or ``percentile(99%)``. ``graph_captured`` tells whether a CUDA graph was
    captured, ``None`` where nothing is said. ``errors`` are the texts of error lines, ``doubts`` of those warnings that
    question the times.
    """

    version: str
    outcome: str
    throughput_qps: float | None
    statistics_ms: dict[str, dict[str, float]]
    graph_captured: bool | None
    errors: tuple[str, ...]
    doubts: tuple[str, ...]


def read(text: str) -> Log:
    """The log in a text; lines that are none of trtexec's are passed over."""
    frames = list(FRAME.finditer(text))
    endings = [frame[1] for frame in frames if frame[1] != "RUNNING"]
    throughput: float | None = None
    statistics: dict[str, dict[str, float]] = {}
    errors: list[str] = []
    doubts: list[str] = []
    for line in text.splitlines():
        parts = LINE.match(line.strip())
        if parts is None:
            continue
        severity, said = parts[1], parts[2].strip()
        if found := THROUGHPUT.match(said):
            throughput = float(found[1])
        elif found := STATISTICS.match(said):
            statistics[found[1]] = {name: float(value) for name, value in STATISTIC.findall(said)}
        if severity in "EF":
            errors.append(said)
        if any(doubt in said for doubt in DOUBTS):
            doubts.append(said.lstrip("* "))
    return Log(
        version=version_of(int(frames[0][2])) if frames else "",
        outcome=endings[-1] if endings else "",
        throughput_qps=throughput,
        statistics_ms=statistics,
        graph_captured=_graph_captured(text),
        errors=tuple(errors),
        doubts=tuple(doubts),
    )


def version_of(number: int) -> str:
    """The version that trtexec writes as one number: 8201 is 8.2.1, 100300 is 10.3.0."""
    major, rest = divmod(number, 10_000 if number >= FIRST_OF_TEN else 1_000)
    minor, patch = divmod(rest, 100)
    return f"{major}.{minor}.{patch}"


def _graph_captured(text: str) -> bool | None:
    if any(words in text for words in GRAPH_REFUSED):
        return False
    return True if GRAPH_CAPTURED in text else None
