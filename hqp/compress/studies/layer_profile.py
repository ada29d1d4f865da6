"""What each layer costs where it alone is quantised, or pruned, and what it takes on the device in either precision."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import torch

from hqp.compress.channels import groups
from hqp.compress.job import Job, calibration_batches, calibration_count
from hqp.compress.network.layers import layers
from hqp.compress.quantisation import int8, layer_times, qdq
from hqp.compress.search.candidate import TRAINED, Candidate
from hqp.compress.search.candidates import Candidates
from hqp.ledger import Ledger
from hqp.records import Group, LayerProfile, Quantization

# Divergences are means over so many images: a pass of them for each layer is to take a second or two.
IMAGES = 128
# The share of a layer's filters that is pruned: enough to be felt, and less than leaves a layer useless.
SHARE = 0.25

CALIBRATION = Quantization(calibrations=("minmax",))

Array = npt.NDArray[np.float32]


def profile(job: Job) -> tuple[LayerProfile, ...]:
    """One profile for each convolution and linear layer, in the order of the network; at most a pass of each kind."""
    candidates = Candidates(job)
    found = layers(job.model)
    times = _times(candidates)
    quantised = _quantised_nats(candidates, tuple(found))
    pruned = _pruned_nats(candidates)
    fisher = candidates.sensitivities(TRAINED).fisher
    profiles = []
    for name, module in found.items():
        if name not in quantised:
            continue
        int8_ms, float_ms = times.get(name, (None, None))
        sensitivity = float(fisher[name].mean()) if name in fisher else None
        filters = module.weight.shape[0]
        profiles.append(LayerProfile(name, filters, sensitivity, quantised[name], pruned.get(name), int8_ms, float_ms))
    return tuple(profiles)


def _times(candidates: Candidates) -> dict[str, tuple[float, float]]:
    """The ms of each layer in INT8 and in float; nothing where the device tells no times."""
    job = candidates.job
    by_file = []
    for file in (candidates.file(candidates.without({})), candidates.file(Candidate(precision=job.floats))):
        operators = job.operator_ms(file)
        if not operators:
            return {}
        by_file.append(layer_times.layer_ms(file, operators))
    int8_ms, float_ms = by_file
    return {layer: (int8_ms[layer], float_ms[layer]) for layer in int8_ms}


def _quantised_nats(candidates: Candidates, names: tuple[str, ...]) -> dict[str, float]:
    """What it costs that a layer alone is INT8; of those layers that the exported file has by name."""
    job, plain = candidates.job, candidates.fp32(TRAINED)
    images = calibration_count(job, IMAGES)
    exact = job.outputs(plain, images)
    seen = int8.ranges(job, CALIBRATION, job.policy, plain, Ledger()).by_calibration["minmax"]
    here = layer_times.layer_ms(plain, {})
    nats = {}
    with TemporaryDirectory() as folder, job.track("each layer in INT8", len(here)) as advance:
        file = Path(folder, "one.onnx")
        for name in (name for name in names if name in here):
            alone = replace(job.policy, layers={"*": "float", name: "int8"}, floats="fp32")
            qdq.quantize(plain, file, seen, alone)
            nats[name] = int8.divergence(exact, job.outputs(file, images))
            advance(1)
    return nats


def _pruned_nats(candidates: Candidates) -> dict[str, float]:
    """What it costs that a share of a layer's filters is gone, the least sensitive ones; nothing makes up for them."""
    job = candidates.job
    exact = _logits(job, job.model)
    fisher = candidates.sensitivities(TRAINED).fisher
    nats: dict[str, float] = {}
    with job.track("each layer pruned", len(candidates.groups())) as advance:
        for group in candidates.groups():
            gone = _least_sensitive(group, fisher)
            if gone:
                smaller = groups.remove(job.model, {group.name: gone}, candidates.groups())
                cost = int8.divergence(exact, _logits(job, smaller))
                nats |= {member.layer: cost for member in group.members if member.role == "filter"}
            advance(1)
    return nats


def _least_sensitive(group: Group, fisher: dict[str, torch.Tensor]) -> tuple[int, ...]:
    """The share of a group's channels whose filters have the least S together."""
    scores = np.zeros(group.channels)
    for member in group.members:
        if member.role == "filter" and member.layer in fisher:
            by_filter = fisher[member.layer].numpy()
            scores += [by_filter[list(channels)].sum() for channels in member.channels]
    count = round(SHARE * group.channels)
    return tuple(sorted(np.argsort(scores, kind="stable")[:count].tolist()))


@torch.no_grad()
def _logits(job: Job, model: torch.nn.Module) -> Array:
    batches = calibration_batches(job, calibration_count(job, IMAGES))
    return np.concatenate([model(torch.from_numpy(images)).numpy() for _, images in batches])
