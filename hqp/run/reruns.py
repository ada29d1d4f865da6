"""The baseline's artefact, rerun beside the candidate in whatever environment this is: stored times are never compared.

Where its file comes from is told in artefact_files.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from hqp import baselines, transport
from hqp.errors import HqpError
from hqp.measure.stopping import is_narrow
from hqp.records import Accuracy, Against, Baseline, Case, Digest, Measurement, PairedLatency, Rerun
from hqp.run import artefact_files, measuring, results
from hqp.run.context import Context
from hqp.run.measuring import Protocol

# git answers at once; a lock of another process must not hold up a report.
GIT_S = 20.0

LATENCY, ACCURACY = "baseline_latency", "baseline_accuracy"


@dataclass(frozen=True)
class Stored:
    """The baselines of one suite below ``root``, and the folder or the address of their artefacts."""

    suite: str
    root: Path
    files: str

    def baseline(self, context: Context, device: str) -> Baseline | None:
        """The suite's baseline on a device: that of this environment, or else the latest of any other."""
        return baselines.latest(self.root, device, self.suite, context.environment(device))

    def against(self, context: Context, device: str) -> Against | None:
        """Which baseline ``baseline`` gives, and the commit in which its file stands as it is."""
        baseline = self.baseline(context, device)
        if baseline is None:
            return None
        path = baselines.path_of(self.root, device, baseline.environment, self.suite)
        return Against(device, str(results.shown(path)), baseline.date, commit_of(path))

    def artefact(self, context: Context, sha256: Digest) -> Path | None:
        """The file of a digest, or ``None`` where no place holds it as it was recorded."""
        try:
            return artefact_files.artefact(context.store, self.files, sha256)
        except HqpError:
            return None

    def cases(self, context: Context, devices: tuple[str, ...]) -> tuple[Case, ...]:
        """The cases of all baselines of the suite; of devices that the suite has no more, those recorded last."""
        recorded = baselines.devices(self.root, self.suite)
        here = {device: context.environment(device) for device in recorded if device in devices}
        found = [baselines.latest(self.root, device, self.suite, here.get(device)) for device in recorded]
        return tuple(entry.case for baseline in found if baseline for entry in baseline.entries)


def commit_of(path: Path) -> str | None:
    """The last commit that changed a file; ``None`` where it is in none, or was changed since."""

    def git(*words: str) -> str:
        return transport.run(["git", "-C", str(path.parent), *words, "--", path.name], timeout_s=GIT_S).stdout.strip()

    try:
        changed = git("status", "--porcelain")
        return None if changed else git("log", "-1", "--format=%h") or None
    except HqpError:
        # No git, or no repository: the file is in no commit.
        return None


def supply(
    context: Context,
    stored: Stored,
    needs: tuple[str, ...],
    measurement: Measurement,
    file: Path,
    protocol: Protocol,
    is_clear: Callable[[Measurement], bool] | None = None,
) -> Measurement:
    """The measurement with what a gate needs of the baseline; as it is where no baseline of the case was recorded.

    ``file`` is the artefact that was measured. Timing ends early where ``is_clear`` says so.
    """
    case = measurement.case
    baseline = stored.baseline(context, case.device)
    entry = baseline.entry(case) if baseline else None
    if baseline is None or entry is None:
        return measurement
    elsewhere = measurement.environment.differing(baseline.environment)
    rerun = measurement.baseline or Rerun(entry.model_sha256, elsewhere)
    old: Path | None = None
    try:
        old = artefact_files.artefact(context.store, stored.files, entry.model_sha256)
    except HqpError as missing:
        rerun = replace(rerun, missing=str(missing))
    if ACCURACY in needs and rerun.accuracy is None:
        if not elsewhere and _same_images(entry.accuracy, measurement.accuracy):
            # Counts of this environment are what a rerun would give; times of this environment never are.
            rerun = replace(rerun, accuracy=entry.accuracy)
        elif old is not None:
            counts = measuring.accuracy(context, case, measurement.sidecar, old, protocol)
            rerun = replace(rerun, accuracy=counts)
    if LATENCY in needs and rerun.latency is None and old is not None:
        untimed = rerun

        def clear(latency: PairedLatency) -> bool:
            so_far = replace(measurement, baseline=replace(untimed, latency=latency))
            return is_clear(so_far) if is_clear else is_narrow(latency)

        reference = (entry.model_sha256, old)
        times = measuring.time_pair(context, case.device, reference, file, protocol, "baseline", clear)
        rerun = replace(rerun, latency=times)
    return replace(measurement, baseline=rerun)


def _same_images(mine: Accuracy, theirs: Accuracy) -> bool:
    return (mine.split_digest, mine.total) == (theirs.split_digest, theirs.total)
