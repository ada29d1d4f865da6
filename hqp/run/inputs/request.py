"""What a user asks to be compressed, and what the names in that stand for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from hqp.errors import HqpError, command
from hqp.records import (
    DEFAULT_READING,
    LARGEST_INPUT,
    SMALLEST_INPUT,
    Device,
    PolicyFile,
    Ranking,
    Reading,
    Recipe,
    Targets,
)
from hqp.run.context import data_root
from hqp.run.inputs import checkpoints, policies
from hqp.run.plugins import Plugins
from hqp.suite import NUMBERS, Model

NO_TARGETS = Targets()


@dataclass(frozen=True)
class Request:
    """What is compressed, how, and for which device; what ``reading`` leaves open, the model and the dataset decide.

    ``keep`` are name patterns of layers that lose no filter, beside those of the method's recipe. ``targets`` are where
    pruning stops short of the bound. The first ``test_images`` of ``test`` certify, all of them where it is ``None``.
    ``expect_top1`` is what the trained model's top-1 must be about, in percent. ``exact_precision`` refuses a device
    that would put another precision in the place of the method's. ``alpha`` is how often the certificate may be wrong,
    by default as often as the method's recipe says. ``policy`` is the precision by layer, in
    the place of what the method would choose.
    """

    model: Model
    dataset: str
    method: str
    device: str
    delta_max_pp: float
    seed: int = 0
    input_size: int | None = None
    reading: Reading = DEFAULT_READING
    keep: tuple[str, ...] = ()
    targets: Targets = NO_TARGETS
    test_images: int | None = None
    expect_top1: float | None = None
    exact_precision: bool = False
    alpha: float | None = None
    policy: PolicyFile | None = None

    @property
    def weights(self) -> Path:
        """The weight file that was named, or that ``hqp train`` writes for this model and dataset."""
        return self.model.file or checkpoints.checkpoint(self.model.source, self.dataset)


@dataclass(frozen=True, eq=False)
class Resolved:
    """A request whose every name and number is right, with the plug-ins that the names stand for.

    ``recipe`` is the method's, with the layers that the user keeps, in a precision that the device has.
    """

    request: Request
    model: Any
    dataset: Any
    device: Device
    runtime: Any
    recipe: Recipe
    criteria: Mapping[Ranking, Any]


def resolve(request: Request, plugins: Plugins) -> Resolved:
    """What a request stands for; nothing is downloaded, no image is read.

    Raises:
        HqpError: a name is unknown, a package or a file is missing, a number is out of range, or the device lacks the
            method's precision and has none in its place.
    """
    for name in (request.model.source, request.model.name, request.dataset):
        _require_text(name)
    model = plugins.load("models", request.model.source)
    dataset = plugins.load("datasets", request.dataset)
    asked = _with_kept_layers(_at_level(plugins.load("methods", request.method).recipe, request), request)
    rankings = asked.pruning.rankings if asked.pruning else ()
    criteria = {ranking: plugins.load("criteria", ranking.criterion) for ranking in rankings}
    device = plugins.device(request.device)
    runtime = plugins.runtime(plugins.device(plugins.judge(request.device)))
    recipe = _with_policy(_in_precision_of(device, asked, request), device, request)
    _require_numbers(request)
    if hasattr(dataset, "require_there"):
        dataset.require_there(data_root())
    _require_weights(request)
    return Resolved(request, model, dataset, device, runtime, recipe, criteria)


def _require_text(name: str) -> None:
    """Refuses a name that no document can hold, such as that of a folder whose bytes are no UTF-8."""
    shown = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if shown != name:
        raise HqpError(f"'{shown}' is no UTF-8", "a name in UTF-8: it stands in the artefact's documents")


def _at_level(recipe: Recipe, request: Request) -> Recipe:
    """The recipe of a method, certified at the α that is asked for."""
    if request.alpha is None:
        return recipe
    if recipe.alpha is None:
        raise HqpError(f"{request.method} certifies nothing that --alpha could bound", "a method that does", "hqp list")
    NUMBERS["alpha"].require("--alpha", request.alpha)
    return replace(recipe, alpha=request.alpha)


def _with_kept_layers(recipe: Recipe, request: Request) -> Recipe:
    """The recipe of a method, which prunes where the user names layers or targets for that."""
    targets = request.targets.asked()
    if recipe.pruning is None and (request.keep or targets):
        asked = "that --keep could keep" if request.keep else "to reach a target"
        raise HqpError(f"{request.method} removes no filters {asked}", "a method that prunes", "--method hqp")
    for name, value in targets.items():
        most, right = (1.0, "above 0 and below 1") if name == "sparsity" else (math.inf, "a finite number above 0")
        if not 0 < value < most:
            raise HqpError(f"--target-{name.replace('_', '-')} is {value:g}", right)
    if not request.keep or recipe.pruning is None:
        return recipe
    return replace(recipe, pruning=replace(recipe.pruning, keep=recipe.pruning.keep + request.keep))


def _in_precision_of(device: Device, recipe: Recipe, request: Request) -> Recipe:
    """The recipe as it is where the device has its precision, else in the one that the device puts in its place.

    Raises:
        HqpError: there is none, or the request wants no other.
    """
    asked = recipe.asks_for
    if asked in device.precisions:
        return recipe
    instead = device.replaces.get(asked)
    wrong = f"device '{request.device}' has no {asked.upper()}, which method '{request.method}' asks for"
    if instead is None:
        has = ", ".join(precision.upper() for precision in device.precisions)
        raise HqpError(wrong, f"a method in {has}", "hqp list methods")
    if request.exact_precision:
        right = (
            f"another device, or exact_precision=False: it is {instead.upper()} there then, and every report says so"
        )
        raise HqpError(wrong, right)
    return replace(recipe, quantization=None, precision=instead, instead_of=asked)


def _with_policy(recipe: Recipe, device: Device, request: Request) -> Recipe:
    """The recipe as it is, or, where the user gives a policy, one that chooses no precision and prunes within it."""
    if request.policy is None:
        return recipe
    policies.require_usable(request.policy, device, request.device, recipe)
    assert recipe.quantization is not None
    quantization = replace(recipe.quantization, by_layer=False)
    # What removes nothing keeps within any share.
    pruning = recipe.pruning and replace(recipe.pruning, at_most=request.policy.pruned)
    return replace(recipe, pruning=pruning, quantization=quantization, beside_dense=False)


def _require_numbers(request: Request) -> None:
    if not 0 < request.delta_max_pp <= 100:
        raise HqpError(f"Δmax is {request.delta_max_pp} points", "above 0 and at most 100", "--delta-max 1.5")
    if request.input_size is not None and not SMALLEST_INPUT <= request.input_size <= LARGEST_INPUT:
        right = f"from {SMALLEST_INPUT} to {LARGEST_INPUT}"
        raise HqpError(f"the input size is {request.input_size} pixels", right, "--input-size 96")
    if request.expect_top1 is not None and not 1 <= request.expect_top1 <= 100:
        raise HqpError(f"the top-1 that is expected is {request.expect_top1:g}", "1 to 100 percent", "--expect-top1 81")


def _require_weights(request: Request) -> None:
    model = request.model
    if model.pretrained or request.weights.is_file():
        return
    wrong = f"there are no weights for {model.name} at {request.weights}"
    if model.file is None:
        train = command("hqp", "train", model.source, "--dataset", request.dataset)
        raise HqpError(wrong, "--weights FILE, or --pretrained", train)
    beside = [file.name for file in model.file.parent.glob("*") if file.is_file()]
    near = get_close_matches(model.file.name, beside, n=1)
    right = f"did you mean {model.file.with_name(near[0])}?" if near else "the path of a weight file that is there"
    raise HqpError(wrong, right)
