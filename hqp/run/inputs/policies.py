"""Policies as files: which layers of a network are INT8, in what the others are computed, and how much of each goes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hqp import documents
from hqp.errors import HqpError, command
from hqp.records import SCHEMA_VERSION, Device, LayerRecord, Policy, PolicyFile, Precisions, Recipe

# What writes one that can be edited.
FIX = "hqp compress MODEL --method q8 --out DIR, which writes DIR/policy.json"


def read(path: Path) -> PolicyFile:
    """The policy in a file.

    Raises:
        HqpError: there is no such file.
        Damaged: it is no policy.
    """
    return documents.read(path, PolicyFile, FIX)


def require_usable(given: PolicyFile, device: Device, name: str, recipe: Recipe) -> None:
    """Sees that a policy can be followed on a device by a recipe.

    Raises:
        HqpError: nothing is quantised, or the device lacks what the policy's layers in float are computed in.
    """
    if recipe.quantization is None:
        raise HqpError("--policy gives layers a precision, and nothing is quantised", "a method in INT8", "--method q8")
    if given.floats not in device.precisions:
        has = ", ".join(precision.upper() for precision in device.precisions)
        wrong = f"the policy computes in {given.floats.upper()}, and device '{name}' has {has}"
        raise HqpError(wrong, 'another device, or "floats": "fp32"', command("hqp", "list", "devices"))


def applied(given: PolicyFile, policy: Policy) -> Policy:
    """How a device wants its INT8, with the layers of a policy file."""
    return replace(policy, layers=given.layers, floats=given.floats)


def of_file(
    policy: Policy, layers: Sequence[str], chosen: Precisions | None, pruned: Sequence[LayerRecord] = ()
) -> PolicyFile:
    """The policy of a file with these layers, each of which is named, and why it is as it is.

    ``pruned`` tells what became of the layers of the trained network, where the method prunes.
    """
    asked = {layer: policy.asks_of(layer) for layer in layers}
    reasons: defaultdict[str, list[str]] = defaultdict(list)
    for choice in chosen.layers if chosen else ():
        reasons[choice.layer].append(str(choice))
    for layer in pruned:
        if layer.why:
            reasons[layer.layer].append(layer.why)
    why = {layer: "; ".join(told) for layer, told in reasons.items()}
    return PolicyFile(SCHEMA_VERSION, asked, policy.floats, {layer.layer: layer.pruned for layer in pruned}, why)
