"""What the engine is given for a request."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import numpy.typing as npt

from hqp import catalog, onnx_rules
from hqp.errors import HqpError, NotInstalled
from hqp.records import Accuracy, Estimate, Floats, Judged, PairedLatency, Policy, Recipe, Samples, metric_named
from hqp.run import measuring, probe
from hqp.run.context import Context
from hqp.run.engine import engine_digest
from hqp.run.inputs import expected, policies
from hqp.run.inputs.request import Request, resolve
from hqp.run.inputs.subject import Subject, identity, subject, trained
from hqp.run.measuring import Protocol
from hqp.run.training_recipe import recipe_of
from hqp.runtimes._tensorrt import nvidia
from hqp.stats import ratio
from hqp.store import sha256_of

if TYPE_CHECKING:
    from hqp.compress.job import Job

# By how many values of its operators' times a layer's precision is chosen, and how many blocks two files are timed in.
PROFILED, MOST_BLOCKS = 8, 24

# The versions that can change an artefact's bytes.
TOOLS = ("torch", "torchvision", "timm", "onnx", "onnxruntime", "numpy")


def prepared_job(context: Context, request: Request, recipe: Recipe) -> Job:
    """What the engine is given for a request, with another recipe than that of the request's method."""
    asked = resolve(request, context.plugins)
    require_engine()
    found = subject(context, asked)
    return job_of(context, found, recipe, data_of(context, found))


def job_of(context: Context, found: Subject, recipe: Recipe, named: dict[str, Any]) -> Job:
    """All that the engine is given: the model and its images as values, what measures and judges as functions.

    ``named`` is what ``data_of`` gives.
    """
    from hqp.compress.job import Job

    request = found.request
    judge = context.plugins.judge(request.device)
    calibration = samples_of(context, found, "calibration")
    selection = samples_of(context, found, "selection")

    def evaluate(file: Path) -> Judged:
        if context.plugins.device(request.device).policy.symmetric:
            _require_for_tensorrt(file)
        return context.judged(file, judge, selection, found.size)

    def test(file: Path) -> Judged:
        return context.judged(file, judge, certifying(context, found), found.size)

    def outputs(file: Path, count: int) -> npt.NDArray[np.float32]:
        return context.outputs(file, judge, calibration.first(count), found.size, "distance from FP32")

    rankings = recipe.pruning.rankings if recipe.pruning else ()
    criteria = {ranking: context.plugins.load("criteria", ranking.criterion) for ranking in rankings}
    scores = {one: functools.partial(criterion.score, **dict(one.options)) for one, criterion in criteria.items()}
    needs = {need for criterion in criteria.values() for need in criterion.needs}
    return Job(
        model=trained(found, len(selection.classes), context.progress.say),
        key=named,
        recipe=recipe,
        policy=policy_of(context, request),
        input_size=found.size,
        calibration=calibration,
        selection=selection,
        train_images=len(context.unread(request.dataset, "train", found.reading)),
        train=lambda: samples_of(context, found, "train"),
        training=recipe_of(found.asked.model, found.asked.dataset, request.dataset),
        seed=request.seed,
        delta_max_pp=request.delta_max_pp,
        targets=request.targets,
        scores=scores,
        needs=frozenset(needs),
        device=f"{request.device}-{context.environment(judge).digest}",
        evaluate=evaluate,
        test=test,
        outputs=outputs,
        latencies_ms=functools.partial(_latencies_ms, context, request.device),
        is_timed=judge == request.device,
        store=context.store,
        track=context.progress.track,
        warn=context.progress.say,
        told=functools.partial(tell_trained, context, request),
        floats="bf16" if "bf16" in context.plugins.device(request.device).precisions else "fp32",
        dense=tuple(one for one in get_args(Floats) if one in context.plugins.device(request.device).precisions),
        operator_ms=functools.partial(_operator_ms, context, request.device),
        speedup=functools.partial(_speedup, context, request.device),
        energy_mj=functools.partial(_energy_mj, context, judge) if _is_metered(context, request.device) else None,
    )


def policy_of(context: Context, request: Request) -> Policy:
    """How the device wants its INT8, with the user's precision by layer where there is one."""
    policy = context.policy(request.device)
    return policies.applied(request.policy, policy) if request.policy else policy


def _require_for_tensorrt(file: Path) -> None:
    """Passes a file that TensorRT takes, before a board is asked: the lint says so, and NVIDIA's parser where it is.

    Raises:
        HqpError: one of them finds a fault; with the node and the reason.
    """
    onnx_rules.check(file, symmetric_only=True)
    nvidia.require_parsed(file)


def _latencies_ms(context: Context, device: str, files: Sequence[Path]) -> list[float]:
    """The latencies of files on a device, which no stand-in can tell.

    Raises:
        HqpError: the device has a stand-in.
    """
    judge = context.plugins.judge(device)
    if judge != device:
        wrong = f"how fast a file is on {device} is asked, and {judge} stands in for it"
        raise HqpError(wrong, "a method that asks for no times, and no target in ms", "hqp bench on the device")
    return context.latencies_ms(files, device)


def _is_metered(context: Context, device: str) -> bool:
    """Whether a device is at hand and declares what its power is read from."""
    return context.plugins.judge(device) == device and bool(context.plugins.device(device).rails)


def _energy_mj(context: Context, device: str, file: Path) -> float:
    """The energy of one inference of a file on a device.

    Raises:
        HqpError: the device's meter gave none.
    """
    declared = context.plugins.device(device)
    metrics = probe.measured_by(context.plugins, "energy", declared, context.prepared(file, device))
    energy = metric_named(metrics, "energy")
    if energy is None:
        wrong = f"least energy is the aim, and the power of device '{device}' cannot be read"
        raise HqpError(wrong, "a meter that answers", "hqp doctor")
    return energy.median


def _operator_ms(context: Context, device: str, file: Path) -> dict[str, float]:
    """What each operator of a file takes, in the order in which they run; nothing where the device is not at hand.

    The least of several values: what disturbs an inference makes it longer.
    """
    declared = context.plugins.device(device)
    profiler = None
    if context.plugins.judge(device) == device:
        profiler = getattr(context.plugins.runtime(declared), "operator_times", None)
    if profiler is None:
        return {}
    times: dict[str, list[float]] = profiler(context.prepared(file, device), declared, PROFILED)
    return {operator: min(ms) for operator, ms in times.items()}


def _speedup(context: Context, device: str, reference: Path, candidate: Path) -> Estimate | None:
    """How many times as fast as the one file the other is, timed in turn in fresh processes."""

    def is_clear(latency: PairedLatency) -> bool:
        estimate = ratio.speedup(latency)
        return estimate is not None and not estimate.lower <= 1 <= estimate.upper

    # It decides between two files of this very run: on a busy machine, too.
    protocol = Protocol(rounds=MOST_BLOCKS, keeps_disturbed=True)
    named = sha256_of(reference), reference
    return ratio.speedup(
        measuring.time_pair(context, device, named, candidate, protocol, "precision by layer", is_clear)
    )


def data_of(context: Context, found: Subject) -> dict[str, Any]:
    """What names the trained weights, the images and the engine."""
    calibration, selection = (samples_of(context, found, split) for split in ("calibration", "selection"))
    return {
        **identity(found),
        "calibration": calibration.digest,
        "selection": selection.digest,
        "engine": engine_digest(),
        "versions": _versions(),
    }


def _versions() -> dict[str, str]:
    """The versions of those tools that are installed."""
    found = {}
    for name in TOOLS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def samples_of(context: Context, found: Subject, split: str) -> Samples:
    """A split of the request's dataset, as the network sees its images."""
    return context.samples(found.request.dataset, split, found.size, reading=found.reading)


def certifying(context: Context, found: Subject) -> Samples:
    """The images of ``test`` that certify."""
    request = found.request
    return context.samples(request.dataset, "test", found.size, reading=found.reading, first=request.test_images)


def require_engine() -> None:
    """Sees that all is installed that the engine is built on.

    Raises:
        NotInstalled: something is not.
    """
    import hqp.compress

    absent = catalog.missing(hqp.compress)
    if absent:
        raise NotInstalled("compressing a model", absent, "compress")


def tell_trained(context: Context, request: Request, trained: Accuracy) -> None:
    """Shows the trained model's top-1, and refuses another than the user expects."""
    context.tell(request.model.name, expected.shown(trained), loud=True)
    expected.require_expected(trained, request.expect_top1)
