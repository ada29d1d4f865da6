"""Which gates judge which cases, resolved before anything is measured."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import ModuleType

from hqp import catalog
from hqp.errors import HqpError, NotApplicable, UnknownName
from hqp.gates import BF16_LATENCY, FP16_LATENCY
from hqp.measure.sampler import BLOCKS_PER_PROCESS
from hqp.records import TAIL, Case, Judgement, Measurement
from hqp.run.inputs.request import Request, Resolved
from hqp.run.inputs.request import resolve as resolve_request
from hqp.run.plugins import Plugins
from hqp.stats import multiple, sequential
from hqp.suite import Gate, Suite

# What speed-ups and drops are measured against.
REFERENCE_METHOD = "fp32"
# What INT8 has to beat where a device computes in FP16 or BF16, and which pair of a case times it beside that.
HALF_METHODS = {"fp16": FP16_LATENCY, "bf16": BF16_LATENCY}


@dataclass(frozen=True)
class Bound:
    """A gate of a suite with the plug-in that judges, its names and limits known to be right."""

    gate: Gate
    plugin: ModuleType

    def binds(self, case: Case) -> bool:
        """Whether the verdict on a case passes or fails the suite; FP32 is not judged against itself."""
        return self.gate.binds(case) and case.method not in self.plugin.needs

    @property
    def timed(self) -> str:
        """Which pair of the case the gate judges by time, or ``""``."""
        return str(getattr(self.plugin, "timed", ""))

    def judge(self, measurement: Measurement) -> Judgement:
        """The verdict on a case, or why there is nothing to judge."""
        bound = self.binds(measurement.case)
        try:
            verdict = self.plugin.check(measurement, **dict(self.gate.limits))
        except NotApplicable as nothing:
            return Judgement(self.gate.name, measurement.case, bound, None, str(nothing))
        return Judgement(self.gate.name, measurement.case, bound, verdict)

    def shows(self, case: Case) -> bool:
        """Whether the verdict on an unbound case is worth showing: the same model and device, another method."""
        chosen = ((self.gate.models, case.model), (self.gate.devices, case.device))
        return case.method != REFERENCE_METHOD and all(names is None or name in names for names, name in chosen)


def request(suite: Suite, case: Case, plugins: Plugins) -> Request:
    """What a case of a suite asks of the engine."""
    model = suite.named_models[case.model]
    recipe = plugins.load("methods", case.method).recipe
    return Request(
        model,
        suite.dataset,
        case.method,
        case.device,
        suite.delta_max_pp,
        suite.seed,
        model.input_size or suite.input_size,
        model.reading.over(suite.reading),
        keep=suite.keep if recipe.pruning else (),
        test_images=suite.test_images,
        expect_top1=model.expect_top1 or suite.expect_top1,
        exact_precision=suite.exact_precision,
        alpha=suite.alpha if recipe.alpha is not None else None,
    )


@dataclass(frozen=True)
class ResolvedSuite:
    """A suite whose every name and limit is right: its gates, and what each case and its FP32 stand for."""

    bounds: tuple[Bound, ...]
    cases: Mapping[Case, Resolved]


def resolve(suite: Suite, plugins: Plugins) -> ResolvedSuite:
    """The gates and the cases of a suite, after every name and every limit of it was found right.

    Raises:
        HqpError: a name is unknown; a gate binds no case, or one that it cannot judge; a limit is unknown, missing or
            beyond the range in which it can fail; nothing prunes that ``keep`` could hold back, or certifies what
            ``alpha`` could bound; a device lacks the precision of a method.
    """
    cases = tuple(suite.cases())
    for case in cases:
        # A suite measures, which no stand-in can do for a device.
        plugins.runtime(plugins.device(case.device))
    references = tuple(replace(case, method=REFERENCE_METHOD) for case in cases)
    resolved = {
        case: resolve_request(request(suite, case, plugins), plugins) for case in dict.fromkeys((*cases, *references))
    }
    if suite.keep and not any(resolved[case].recipe.pruning for case in cases):
        raise HqpError("keep of a suite is set, and none of its methods removes filters", "a method that prunes")
    if suite.alpha is not None and all(resolved[case].recipe.alpha is None for case in cases):
        raise HqpError("alpha of a suite is set, and none of its methods certifies", "a method that does", "hqp list")
    return ResolvedSuite(resolve_gates(suite), resolved)


def resolve_gates(suite: Suite) -> tuple[Bound, ...]:
    """The gates of a suite alone, for where its models and methods are not at hand: a board without torch.

    Raises:
        HqpError: a gate's name or limit is wrong, or it binds no case.
    """
    bounds = tuple(_bound(suite, gate) for gate in suite.gates)
    _require_one_of_a_name(suite, bounds)
    _require_rounds(suite, bounds)
    return bounds


def _require_one_of_a_name(suite: Suite, bounds: tuple[Bound, ...]) -> None:
    seen: set[tuple[str, Case]] = set()
    for bound in bounds:
        for case in filter(bound.binds, suite.cases()):
            if (bound.gate.name, case) in seen:
                raise HqpError(f"two gates '{bound.gate.name}' bind {case}", "one gate of a name for each case")
            seen.add((bound.gate.name, case))


def verdicts_on_time(bounds: Sequence[Bound], cases: Sequence[Case]) -> int:
    """How many verdicts on time a run of these cases says."""
    return sum(bool(bound.timed) and bound.binds(case) for bound in bounds for case in cases)


def confirmation_tail(tests: int, failed: int) -> float:
    """The chance of a false alarm that a confirmation may have, in a run of so many verdicts of which some failed.

    A failure takes two independent alarms, the first of which has a chance of 5%: their product is what Holm's
    procedure allows the next failure of the run.
    """
    return float(min(TAIL, multiple.next_level(TAIL, tests, failed) / TAIL))


def _require_rounds(suite: Suite, bounds: Sequence[Bound]) -> None:
    """Sees that a gate on time can decide, and what it says of the first failure of the run be confirmed."""
    tests = verdicts_on_time(bounds, tuple(suite.cases()))
    if not tests:
        return
    fewest = sequential.fewest(confirmation_tail(tests, 0)) * BLOCKS_PER_PROCESS
    if suite.rounds < fewest:
        wrong = f"rounds of the suite is {suite.rounds}, of which no gate on time can decide"
        among = f" among {tests} verdicts on time" if fewest > sequential.fewest(TAIL) * BLOCKS_PER_PROCESS else ""
        raise HqpError(wrong + among, f"{fewest} or more", "rounds=40")


def _bound(suite: Suite, gate: Gate) -> Bound:
    """A gate whose names are the suite's, that has a case to judge, and whose limits can fail."""
    known = {"methods": suite.methods, "models": tuple(suite.named_models), "devices": suite.devices}
    for field, there in known.items():
        for name in getattr(gate, field) or ():
            if name not in there:
                raise UnknownName(f"{field[:-1]} of gate '{gate.name}'", name, there, fix="")
    bound = Bound(gate, catalog.require("gates", gate.name))
    against = set(bound.plugin.needs) & set(gate.methods or ())
    if against:
        raise HqpError(
            f"gate '{gate.name}' compares with {against.pop()}, and cannot judge it against itself", "other methods"
        )
    if not any(map(bound.binds, suite.cases())):
        raise HqpError(f"gate '{gate.name}' binds no case of the suite", "a method that it can judge")
    for half in HALF_METHODS:
        if half in bound.plugin.needs and half not in suite.methods:
            wrong = f"gate '{gate.name}' compares with {half}, which the suite lacks"
            raise HqpError(wrong, f'methods=("{half}", …)')
    _require_limits(bound)
    return bound


def _require_limits(bound: Bound) -> None:
    gate, ranges = bound.gate, getattr(bound.plugin, "limits", None)
    if ranges is None:
        raise HqpError(f"gate '{gate.name}' states no ranges of its limits", 'limits = {"max_…": Limit(…)} in its file')
    given = dict(gate.limits)
    for name, value in given.items():
        if name not in ranges:
            raise UnknownName(f"limit of gate '{gate.name}'", name, ranges, fix="")
        ranges[name].require(f"limit {name} of gate '{gate.name}'", value)
    for name, parameter in inspect.signature(bound.plugin.check).parameters.items():
        wanted = parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty
        if wanted and name not in given:
            raise HqpError(f"gate '{gate.name}' has no {name}", fix=f'Gate("{gate.name}", {name}=…)')
