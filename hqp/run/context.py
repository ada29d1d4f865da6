"""What every workflow shares: the store, the progress display, the data, and what identifies a device."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hqp import documents, transport, typings
from hqp.errors import Damaged, HqpError
from hqp.ledger import Ledger
from hqp.measure import block, environment
from hqp.records import (
    DEFAULT_READING,
    Accuracy,
    Device,
    Digest,
    Environment,
    Judged,
    Leak,
    Policy,
    Reading,
    Samples,
    digest_of,
)
from hqp.run import exports, images
from hqp.run.engine import code_digest
from hqp.run.limited import Limited
from hqp.run.plugins import Plugins
from hqp.run.progress import Progress
from hqp.runtimes import RuntimeSession
from hqp.store import Store, sha256_of
from hqp.transport import Host

EVALUATION_BATCH = 200

# arXiv 2602.06069, section on measuring.
WARMUPS, TIMED = 10, 100

# In so many turns those runs are timed where there are several files.
ROUNDS = 10

# What names, in an entry of the store, the file that a runtime prepared.
PREPARED = "prepared.json"


@dataclass(frozen=True)
class Prepared:
    """Which file of an entry a runtime opens."""

    file: str


@dataclass
class Context:
    """One run's store, progress and plug-ins; images and environments are read once."""

    store: Store
    progress: Progress = field(default_factory=Progress)
    plugins: Plugins = field(default_factory=Plugins)
    _samples: dict[tuple[str, str, int, Reading, int | None], Samples] = field(default_factory=dict)
    _environments: dict[str, Environment] = field(default_factory=dict)
    _told: set[tuple[str, str]] = field(default_factory=set)

    def tell(self, of: str, line: str, loud: bool = False) -> None:
        """Shows a line that the user should read, once for what it is ``of``, however often that is met in a run."""
        if (of, line) not in self._told:
            self._told.add((of, line))
            self.progress.say(line, loud)

    def __post_init__(self) -> None:
        self.store.say = self.progress.say

    def samples(
        self, dataset: str, split: str, size: int, *, reading: Reading = DEFAULT_READING, first: int | None = None
    ) -> Samples:
        """A split, or its first images, decoded once at ``size`` pixels and kept as uint8 in the store."""
        key = (dataset, split, size, reading, first)
        if key not in self._samples:
            loaded = _checked(self._loaded(dataset, split, reading, first))
            ready = images.prepared(loaded, size, reading.skip_unreadable, self.store, self.progress)
            self._samples[key] = _as_read(_checked(ready), reading)
            self._warn_of_leak(loaded, reading)
        return self._samples[key]

    def _warn_of_leak(self, samples: Samples, reading: Reading) -> None:
        """Tells where images that judge are training images too; looked for once, and kept in the store."""
        if samples.leak is None:
            return
        key = {"judging": samples.digest, "train": self._loaded(samples.dataset, "train", reading).digest}
        leak = self.store.record("leaks", key, Leak, samples.leak)
        if leak.shared:
            self.tell(samples.split, leak.warning(samples.split))

    def split_digest(self, dataset: str, split: str, reading: Reading, first: int | None = None) -> Digest:
        """What names a split, or its first images, and the way they become a network's input; none is decoded."""
        return _as_read(self._loaded(dataset, split, reading, first), reading).digest

    def unread(self, dataset: str, split: str, reading: Reading) -> Samples:
        """A split, none of whose images is read: for how many there are, and for what normalises them."""
        return _as_read(self._loaded(dataset, split, reading), reading)

    def _loaded(self, dataset: str, split: str, reading: Reading, first: int | None = None) -> Samples:
        loaded: Samples = self.plugins.load("datasets", dataset).load(split, data_root(), reading)
        return loaded.first(first or len(loaded))

    def host(self, device: str) -> Host:
        """Where a device is."""
        return transport.host(self.plugins.device(device).host)

    def environment(self, device: str) -> Environment:
        """What a number measured on ``device`` depends on, now, on the host that it is on."""
        if device not in self._environments:
            plugin = self.plugins.load("devices", device)
            declared, host = self.plugins.device(device), self.host(device)
            # Asked first: a board that is not ready to be measured is refused before its tools are looked for.
            facts = plugin.facts(host)
            version = self.plugins.runtime(declared).version(host)
            self._environments[device] = environment.environment(declared, facts, version, host)
        return self._environments[device]

    def policy(self, device: str) -> Policy:
        """How a device wants its INT8, here: with weights of 7 bits where this processor's kernels would saturate.

        On x86 without VNNI they multiply by VPMADDUBSW, which adds two products of bytes in 16 bits.
        Source: onnxruntime.ai/docs/performance/model-optimizations/quantization.html, on ``reduce_range``.
        """
        declared = self.plugins.device(device).policy
        if not declared.saturates_without:
            return declared
        instructions = self.environment(device).facts.get("instructions", "")
        # Only x86 tells AVX2; of another processor, or a system that tells nothing, no saturation is known.
        if "avx2" in instructions and declared.saturates_without not in instructions:
            return replace(declared, weight_bits=7)
        return declared

    def prepared(self, file: Path, device: str) -> Path:
        """What the runtime of a device opens of a file: an engine or a blob, made once and kept in the store.

        It is made anew for another file, device or environment, and by another version or code of the runtime. Where
        a runtime prepares nothing it is the export of the file that it opens.
        """
        declared = self.plugins.device(device)
        runtime = self.plugins.runtime(declared)
        _require_precision(file, device, declared)
        opened = exports.exported(self.store, file, runtime.opens)
        if not hasattr(runtime, "prepare"):
            return opened
        key = {
            "model": sha256_of(file),
            # Of another file than the artefact where the runtime opens another export; weights may lie beside it.
            "opened": sha256_of(opened),
            "device": asdict(declared),
            # Engines are made for a processor, a driver and a power state.
            "environment": self.environment(device).digest,
            # The flags that are no part of the device stand there.
            "code": code_digest(Path(runtime.__file__)),
        }

        def build(folder: Path) -> None:
            with self.progress.track(f"prepared for {device}", 0):
                made = runtime.prepare(opened, declared, folder)
            documents.write(folder / PREPARED, Prepared(made.relative_to(folder).as_posix()))

        place = self.store.make("prepared", key, build)
        return place / self.store.read(place / PREPARED, Prepared).file

    def opener(self, file: Path, device: str, *, streams: int = 1) -> Callable[[], Limited]:
        """What gives sessions of a file on a device, not opened yet; the file is prepared first, once for all.

        One that hangs raises ``HqpError``.
        """
        declared = self.plugins.device(device)
        session: type[RuntimeSession] = self.plugins.runtime(declared).Session
        prepared = self.prepared(file, device)
        return lambda: Limited(session(prepared, declared, streams=streams))

    def judged(self, file: Path, device: str, samples: Samples, size: int) -> Judged:
        """The accuracy of a file on a split in the device's runtime, with what it took; judged once per environment."""
        key = {
            "model": sha256_of(file),
            "environment": self.environment(device).digest,
            "samples": samples.digest,
            "size": size,
        }

        def judge(ledger: Ledger) -> Accuracy:
            step = f"accuracy on {samples.split}"
            with ledger.step(step) as tally:
                tally.images, tally.passes = len(samples), 1
                return self._judge(file, device, samples, size, step)

        accuracy, entry = self.store.costed_record("judged", key, Accuracy, judge)
        (cost,) = entry.costs
        return Judged(accuracy, cost)

    def latencies_ms(self, files: Sequence[Path], device: str) -> list[float]:
        """The median latency of each file on a device, of 100 runs after 10 warm-up runs, as the paper has it.

        Several are timed in turn, a part of the runs each, and of each the median of its fastest turn is taken: what
        disturbs the machine now and then can only slow a turn.
        """
        rounds = ROUNDS if len(files) > 1 else 1
        turns_ms: list[list[list[float]]] = [[] for _ in files]
        with ExitStack() as opened:
            sessions = [opened.enter_context(self.opener(file, device)()) for file in files]
            for session in sessions:
                session.time(WARMUPS)
            for _ in range(rounds):
                for session, turns in zip(sessions, turns_ms, strict=True):
                    turns.append(session.time(TIMED // rounds))
        for file, turns in zip(files, turns_ms, strict=True):
            reason = block.impossible(turns)
            if reason:
                raise HqpError(f"{file} on {device}: {reason}", "a time above 0 ms", "hqp doctor")
        return [min(float(np.median(turn)) for turn in turns) for turns in turns_ms]

    def outputs(self, file: Path, device: str, samples: Samples, size: int, step: str) -> npt.NDArray[np.float32]:
        """The logits of a file for the images of a split, (n, classes), in the device's runtime."""
        outputs = []
        streams = max(1, environment.usable_cores(self.host(device)))
        with (
            self.opener(file, device, streams=streams)() as session,
            self.progress.track(step, len(samples)) as advance,
        ):
            for start in range(0, len(samples), EVALUATION_BATCH):
                indices = range(start, min(start + EVALUATION_BATCH, len(samples)))
                logits = session.outputs(samples.normalised(samples.read(indices, size)))
                _require_one_each(logits, len(indices), device)
                outputs.append(logits)
                advance(len(indices))
        return np.concatenate(outputs)

    def _judge(self, file: Path, device: str, samples: Samples, size: int, step: str) -> Accuracy:
        logits = self.outputs(file, device, samples, size, step)
        if logits.shape[1] < len(samples.classes):
            raise HqpError(
                f"{file} has {logits.shape[1]} outputs, {samples.dataset} has {len(samples.classes)} classes",
                "a model trained on that dataset",
            )
        return Accuracy.of(samples, logits)


def data_root() -> Path | None:
    """The folder that ``HQP_DATA`` names, in which datasets are looked for."""
    root = os.environ.get("HQP_DATA")
    return Path(root) if root else None


def _require_precision(file: Path, name: str, device: Device) -> None:
    """Sees that a device computes in the precision that a file is made for: in another it is another network."""
    try:
        wanted = typings.computed_in(file)
    except Damaged:  # of what is no ONNX file the runtime says so
        return
    if wanted not in device.precisions:
        has = ", ".join(precision.upper() for precision in device.precisions)
        raise HqpError(f"{file} computes in {wanted.upper()}, and device '{name}' has {has}", "an artefact made for it")


def _require_one_each(logits: npt.NDArray[np.float32], images: int, device: str) -> None:
    """Sees that a session gave a row of outputs for each image: what runs elsewhere may be cut off."""
    if logits.ndim != 2 or len(logits) != images:
        wrong = f"the runtime of device '{device}' gave outputs of shape {logits.shape} for {images} images"
        raise HqpError(wrong, f"({images}, classes)")


def _as_read(samples: Samples, reading: Reading) -> Samples:
    """The images, named also by what normalises them: what one mean gave is not taken for what another gives."""
    mean, std = reading.mean or samples.mean, reading.std or samples.std
    return replace(samples, mean=mean, std=std, digest=digest_of([samples.digest, mean, std]))


def _checked(samples: Samples) -> Samples:
    """A split that can judge a model, refused before minutes are spent on one that cannot."""
    where = f"split '{samples.split}' of {samples.dataset}"
    if len(samples) == 0:
        raise HqpError(f"{where} is empty", "images of every class")
    if len(np.unique(samples.labels)) < 2:
        raise HqpError(f"{where} holds one class only", "images of at least two classes")
    return samples
