"""Measuring one file on one device: its accuracy, its time beside another file's, its memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from hqp.errors import HqpError
from hqp.measure import sampler
from hqp.measure.block import LEAST_ITERATIONS
from hqp.measure.sampler import BLOCKS_PER_PROCESS
from hqp.measure.stopping import Stopping, is_narrow
from hqp.records import MOST_PROCESSES, TAIL, Accuracy, Artifact, Case, Measurement, PairedLatency, Samples, Sidecar
from hqp.run import probe, worker
from hqp.run.context import Context
from hqp.run.inputs import artifacts
from hqp.run.worker import Pair
from hqp.stats import sequential

IsClear = Callable[[PairedLatency], bool]


@dataclass(frozen=True)
class Protocol:
    """How a case is measured: in at most ``rounds`` blocks, and on how many images.

    ``inferences`` of each file are timed at least, by the first look that may decide. ``tail`` is the chance that a
    bound of a ratio is wrong. Blocks in which the machine was disturbed are dropped, or kept like any other.
    """

    rounds: int = MOST_PROCESSES * BLOCKS_PER_PROCESS
    seed: int = 0
    test_images: int | None = None
    inferences: int = 0
    tail: float = TAIL
    keeps_disturbed: bool = False

    @property
    def processes(self) -> int:
        """The most processes over which the blocks are spread."""
        return self.rounds // BLOCKS_PER_PROCESS

    @property
    def iterations(self) -> int:
        """The fewest inferences of each file in a block."""
        planned = sequential.looks(self.processes, self.tail)
        blocks = (planned[0].values if planned else self.processes) * BLOCKS_PER_PROCESS
        return max(LEAST_ITERATIONS, math.ceil(self.inferences / blocks))


def measure_files(
    context: Context,
    case: Case,
    made: Artifact,
    file: Path,
    reference: tuple[Sidecar, Path] | None,
    protocol: Protocol,
    is_clear: Callable[[Measurement], bool] | None = None,
) -> Measurement:
    """Latency and accuracy on ``test`` of an artefact, beside FP32 where that is at hand, and what the probes measure.

    ``file`` is its model, wherever it is kept.

    Timing ends early where ``is_clear`` says of the measurement so far that its verdicts are; without it, where the
    ratio is known well enough.
    """
    sidecar = made.sidecar
    against = (reference[0].file.sha256, reference[1]) if reference else (sidecar.file.sha256, file)
    untimed = Measurement(
        case=case,
        sidecar=sidecar,
        environment=context.environment(case.device),
        accuracy=accuracy(context, case, sidecar, file, protocol),
        fp32_accuracy=accuracy(context, case, sidecar, reference[1], protocol) if reference else None,
        latency=PairedLatency(against[0], ()),
        fp32_bytes=sidecar.fp32_file.size_bytes,
        metrics=probe.metrics(context, case.device, file),
        skipped_images=_test(context, sidecar, protocol).skipped,
        layers=artifacts.layers(Path(made.path)),
    )

    def clear(latency: PairedLatency) -> bool:
        return is_clear(replace(untimed, latency=latency)) if is_clear else is_narrow(latency)

    times = time_pair(context, case.device, against, file, protocol, "latency", clear)
    return replace(untimed, latency=times)


def accuracy(context: Context, case: Case, sidecar: Sidecar, file: Path, protocol: Protocol) -> Accuracy:
    """The accuracy of a file on the images that judge the artefact of ``sidecar``.

    Raises:
        HqpError: the runtime gave no numbers for some of them, of which nothing can be judged, that FP32 does so least.
    """
    test = _test(context, sidecar, protocol)
    counted = context.judged(file, case.device, test, sidecar.network.input_size).accuracy
    if counted.without_numbers:
        images = f"{counted.without_numbers:,} of {counted.total:,} images"
        wrong = f"{file} on {case.device} gives no finite outputs for {images}"
        raise HqpError(wrong, "a file and a runtime that give numbers", "another method, or hqp doctor")
    return counted


def _test(context: Context, sidecar: Sidecar, protocol: Protocol) -> Samples:
    images, size = sidecar.images, sidecar.network.input_size
    return context.samples(images.dataset, "test", size, reading=images.reading, first=protocol.test_images)


def time_pair(
    context: Context,
    device: str,
    reference: tuple[str, Path],
    candidate: Path,
    protocol: Protocol,
    step: str,
    is_clear: IsClear = is_narrow,
) -> PairedLatency:
    """Blocks of two files on one device, in fresh processes; ``reference`` is its digest and its file."""
    # Before the first block, which opens what is prepared and builds nothing.
    dense, mine = str(context.prepared(reference[1], device)), str(context.prepared(candidate, device))
    pair = Pair(device, dense, mine, protocol.iterations, protocol.keeps_disturbed)
    stopping = Stopping(protocol.processes, protocol.tail, is_clear)
    with context.progress.track(step, stopping.last) as advance:
        return sampler.sample(
            worker.launcher(pair),
            stopping,
            reference_sha256=reference[0],
            seed=protocol.seed,
            advance=advance,
        )
