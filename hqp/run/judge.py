"""Which gates judge which cases, resolved before anything is measured."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from types import ModuleType

from hqp import catalog
from hqp.errors import HqpError, NotApplicable, UnknownName
from hqp.records import Case, Judgement, Measurement, Reading
from hqp.run import subject
from hqp.run.subject import Request
from hqp.suite import Gate, Suite


@dataclass(frozen=True)
class Bound:
    """A gate of a suite with the plug-in that judges, its names and limits known to be right."""

    gate: Gate
    plugin: ModuleType

    def judge(self, measurement: Measurement) -> Judgement:
        """The verdict on a case, or why there is nothing to judge."""
        bound = self.gate.binds(measurement.case)
        try:
            verdict = self.plugin.check(measurement, **dict(self.gate.limits))
        except NotApplicable as nothing:
            return Judgement(self.gate.name, measurement.case, bound, None, str(nothing))
        return Judgement(self.gate.name, measurement.case, bound, verdict)

    def shows(self, case: Case) -> bool:
        """Whether the verdict on an unbound case is worth showing: the same model and device, another method."""
        chosen = ((self.gate.models, case.model), (self.gate.devices, case.device))
        return case.method != "fp32" and all(names is None or name in names for names, name in chosen)


def request(suite: Suite, case: Case) -> Request:
    """What a case of a suite asks of the engine."""
    reading = Reading(mean=suite.mean, std=suite.std, skip_unreadable=suite.skip_unreadable)
    model = suite.named_models[case.model]
    return Request(
        model,
        suite.dataset,
        case.method,
        case.device,
        suite.delta_max_pp,
        suite.seed,
        suite.input_size,
        reading,
        test_images=suite.test_images,
    )


def resolve(suite: Suite) -> tuple[Bound, ...]:
    """The gates of a suite, after every name and every limit of it was found right.

    Raises:
        HqpError: a name is unknown, a gate binds no case, a limit is unknown, missing or no number.
    """
    for case in suite.cases():
        subject.resolve(request(suite, case))
    bounds = tuple(Bound(gate, _plugin(suite, gate)) for gate in suite.gates)
    seen: set[tuple[str, Case]] = set()
    for gate in suite.gates:
        for case in filter(gate.binds, suite.cases()):
            if (gate.name, case) in seen:
                raise HqpError(f"two gates '{gate.name}' bind {case}", "one gate of a name for each case")
            seen.add((gate.name, case))
    return bounds


def _plugin(suite: Suite, gate: Gate) -> ModuleType:
    known = {"methods": suite.methods, "models": tuple(suite.named_models), "devices": suite.devices}
    for field, there in known.items():
        for name in getattr(gate, field) or ():
            if name not in there:
                raise UnknownName(f"{field[:-1]} of gate '{gate.name}'", name, there, fix="")
    plugin = catalog.require("gates", gate.name)
    parameters = inspect.signature(plugin.check).parameters.values()
    limits = {item.name: item.default for item in parameters if item.kind is item.KEYWORD_ONLY}
    given = dict(gate.limits)
    for name, value in given.items():
        if name not in limits:
            raise UnknownName(f"limit of gate '{gate.name}'", name, limits, fix="")
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < float("inf"):
            raise HqpError(f"limit {name} of gate '{gate.name}' is {value!r}", "a finite number")
    for name, default in limits.items():
        if default is inspect.Parameter.empty and name not in given:
            raise HqpError(f"gate '{gate.name}' has no {name}", fix=f'Gate("{gate.name}", {name}=…)')
    return plugin
