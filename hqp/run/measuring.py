"""Measuring one file on one device: its accuracy, its time beside another file's, its memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hqp.measure import sampler
from hqp.records import Accuracy, Case, Measurement, PairedLatency, Samples, Sidecar
from hqp.run import probe
from hqp.run.context import Context


@dataclass(frozen=True)
class Protocol:
    """How a case is measured: uncounted warm-ups, rounds of fresh sessions, iterations in each; images judged."""

    warmups: int = 10
    rounds: int = 20
    iterations: int = 5
    seed: int = 0
    test_images: int | None = None


def measure_files(
    context: Context,
    case: Case,
    sidecar: Sidecar,
    file: Path,
    reference: tuple[Sidecar, Path] | None,
    protocol: Protocol,
) -> Measurement:
    """Latency and accuracy on ``test`` of a file, beside FP32 where that is at hand, and what the probes measure."""
    against = (reference[0].file.sha256, reference[1]) if reference else (sidecar.file.sha256, file)
    return Measurement(
        case=case,
        sidecar=sidecar,
        environment=context.environment(case.device),
        accuracy=accuracy(context, case, sidecar, file, protocol),
        fp32_accuracy=accuracy(context, case, sidecar, reference[1], protocol) if reference else None,
        latency=time_pair(context, case.device, against, file, protocol, "latency"),
        fp32_bytes=sidecar.fp32_file.size_bytes,
        metrics=probe.metrics(context, case.device, file),
        skipped_images=_test(context, sidecar, protocol).skipped,
    )


def accuracy(context: Context, case: Case, sidecar: Sidecar, file: Path, protocol: Protocol) -> Accuracy:
    """The accuracy of a file on the images that judge the artefact of ``sidecar``."""
    return context.accuracy(file, case.device, _test(context, sidecar, protocol), sidecar.network.input_size)


def _test(context: Context, sidecar: Sidecar, protocol: Protocol) -> Samples:
    images, size = sidecar.images, sidecar.network.input_size
    return context.samples(images.dataset, "test", size, reading=images.reading, first=protocol.test_images)


def time_pair(
    context: Context, device: str, reference: tuple[str, Path], candidate: Path, protocol: Protocol, step: str
) -> PairedLatency:
    """Interleaved rounds of two files on one device; ``reference`` is its digest and its file."""
    # Before the first block, which opens what is prepared and builds nothing.
    dense, mine = context.opener(reference[1], device), context.opener(candidate, device)
    with context.progress.track(step, protocol.rounds) as advance:
        return sampler.sample(
            dense,
            mine,
            reference_sha256=reference[0],
            warmups=protocol.warmups,
            rounds=protocol.rounds,
            iterations=protocol.iterations,
            seed=protocol.seed,
            guard=context.guard(device),
            advance=advance,
        )
