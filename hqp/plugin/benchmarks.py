"""Each case's samples for pytest-benchmark: its files, its tables and ``pytest-benchmark compare`` then have them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from hqp.records import Measurement, Results

MS_PER_S = 1000.0


@dataclass(frozen=True)
class Case:
    """A case of a suite as pytest-benchmark asks for what it times: what it calls its fixture."""

    name: str
    fullname: str
    group: str
    extra_info: Mapping[str, object]
    param: None = None
    params: Mapping[str, str] = field(default_factory=dict)
    cprofile_stats: None = None
    has_error: bool = False


def hand_over(config: pytest.Config, results: Mapping[str, Results]) -> None:
    """Adds the cases of each suite, by the node id of its file, to what pytest-benchmark saves, shows and compares.

    Nothing happens where pytest-benchmark is not installed, or was told to time nothing.
    """
    session: Any = getattr(config, "_benchmarksession", None)
    if session is None or session.disabled or session.skip:
        return
    for file, of_suite in results.items():
        for measurement in of_suite.measurements:
            # Without samples it has no median to show.
            if measurement.latency.blocks:
                session.benchmarks.append(_timed(file, of_suite.suite, measurement))


def _timed(file: str, suite: str, measurement: Measurement) -> Any:
    from pytest_benchmark import stats

    case, sidecar = measurement.case, measurement.sidecar
    told = {"device": case.device, "model_sha256": sidecar.file.sha256, **measurement.environment.facts}
    named = {"model": case.model, "method": case.method, "device": case.device}
    made: Any = stats.Metadata
    timed = made(
        Case(str(case), f"{file}::{case}", suite, told, params=named),
        # A sample is the time of one inference.
        iterations=1,
        options={"disable_gc": False, "timer": "the runtime's session", "min_rounds": len(measurement.latency.blocks)},
    )
    for sample_ms in measurement.latency.candidate_ms:
        timed.update(float(sample_ms) / MS_PER_S)
    return timed
