"""Which gates judge which cases, resolved before anything is measured."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import ModuleType

from hqp import catalog
from hqp.errors import HqpError, NotApplicable, UnknownName
from hqp.records import Case, Judgement, Measurement
from hqp.run.inputs.request import Request, Resolved
from hqp.run.inputs.request import resolve as resolve_request
from hqp.run.plugins import Plugins
from hqp.suite import FEWEST_ROUNDS, Gate, Suite

# What speed-ups and drops are measured against.
REFERENCE_METHOD = "fp32"
# What INT8 has to beat where a device computes in FP16.
HALF_METHOD = "fp16"


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
    prunes = plugins.load("methods", case.method).recipe.pruning is not None
    return Request(
        model,
        suite.dataset,
        case.method,
        case.device,
        suite.delta_max_pp,
        suite.seed,
        model.input_size or suite.input_size,
        model.reading.over(suite.reading),
        keep=suite.keep if prunes else (),
        test_images=suite.test_images,
        expect_top1=model.expect_top1 or suite.expect_top1,
        exact_precision=suite.exact_precision,
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
            beyond the range in which it can fail; nothing prunes that ``keep`` could hold back; a device lacks the
            precision of a method.
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
    return ResolvedSuite(resolve_gates(suite), resolved)


def resolve_gates(suite: Suite) -> tuple[Bound, ...]:
    """The gates of a suite alone, for where its models and methods are not at hand: a board without torch.

    Raises:
        HqpError: a gate's name or limit is wrong, or it binds no case.
    """
    bounds = tuple(_bound(suite, gate) for gate in suite.gates)
    _require_one_of_a_name(suite, bounds)
    if any(bound.timed for bound in bounds) and suite.rounds < FEWEST_ROUNDS:
        wrong = f"rounds of the suite is {suite.rounds}, of which no gate on time can decide"
        raise HqpError(wrong, f"{FEWEST_ROUNDS} or more", "rounds=40")
    return bounds


def _require_one_of_a_name(suite: Suite, bounds: tuple[Bound, ...]) -> None:
    seen: set[tuple[str, Case]] = set()
    for bound in bounds:
        for case in filter(bound.binds, suite.cases()):
            if (bound.gate.name, case) in seen:
                raise HqpError(f"two gates '{bound.gate.name}' bind {case}", "one gate of a name for each case")
            seen.add((bound.gate.name, case))


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
    if HALF_METHOD in bound.plugin.needs and HALF_METHOD not in suite.methods:
        wrong = f"gate '{gate.name}' compares with {HALF_METHOD}, which the suite lacks"
        raise HqpError(wrong, f'methods=("{HALF_METHOD}", …)')
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
