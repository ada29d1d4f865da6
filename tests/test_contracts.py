"""Every plug-in file keeps its package's contract; a new file is picked up by itself.

A contract takes a module and returns what it breaks. None of them loads torch or a runtime.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest

from hqp import catalog
from hqp.errors import HqpError
from hqp.records import Device, Limit, Reading, Recipe
from hqp.runtimes import RuntimeSession
from hqp.transport import HERE

Contract = Callable[[ModuleType], Iterator[str]]
NAME = re.compile("[a-z][a-z0-9_]*")
# One line of `hqp list`.
SUMMARY_COLUMNS = 130


def parameters(function: Callable[..., object]) -> list[tuple[str, str]]:
    """Name and kind of each parameter, a default shown as ``=``."""
    shown = []
    for one in inspect.signature(function).parameters.values():
        kind = {one.KEYWORD_ONLY: "*", one.VAR_POSITIONAL: "*args", one.VAR_KEYWORD: "**"}.get(one.kind, "")
        shown.append((one.name, kind + ("=" if one.default is not one.empty else "")))
    return shown


def annotation(value: object) -> str:
    """An annotation as it is written, whether or not it was postponed."""
    return value if isinstance(value, str) else getattr(value, "__name__", str(value))


def describes_itself(module: ModuleType) -> Iterator[str]:
    """A plug-in says in the first sentence of its docstring what it is."""
    if not NAME.fullmatch(module.__name__.rpartition(".")[2]):
        yield f"{module.__name__} is no plug-in name"
    lines = (module.__doc__ or "").strip().split("\n\n")[0].split("\n")
    summary = " ".join(line.strip() for line in lines)
    if not summary.endswith(".") or len(summary) > SUMMARY_COLUMNS:
        yield f"docstring begins {summary!r}: not one sentence of at most {SUMMARY_COLUMNS} characters"


def is_names(module: ModuleType, attribute: str, known: tuple[str, ...] | None = None) -> Iterator[str]:
    """An attribute is a tuple of names, of those known where some are."""
    value = getattr(module, attribute, None)
    sound = isinstance(value, tuple) and all(isinstance(name, str) for name in value)
    if not sound or not set(value) <= set(known if known is not None else value):  # type: ignore[arg-type]
        yield f"{attribute} is {value!r}"


def is_size(module: ModuleType, attribute: str) -> Iterator[str]:
    """An attribute is a number of pixels."""
    value = getattr(module, attribute, None)
    if type(value) is not int or value < 1:
        yield f"{attribute} is {value!r}"


def takes(module: ModuleType, name: str, *expected: tuple[str, str]) -> Iterator[str]:
    """A function has exactly these parameters."""
    function = getattr(module, name, None)
    if not inspect.isfunction(function):
        yield f"{name} is no function"
    elif parameters(function) != list(expected):
        yield f"{name} takes {parameters(function)}"


def returns(module: ModuleType, name: str, expected: str) -> Iterator[str]:
    """A function declares what it returns."""
    function = getattr(module, name, None)
    if inspect.isfunction(function) and annotation(inspect.signature(function).return_annotation) != expected:
        yield f"{name} does not return {expected}"


def binds(module: ModuleType, expected: str) -> Iterator[str]:
    """``bind(argument)`` gives what the argument stands for, and ``argument`` says what that is."""
    if not re.fullmatch(r"[A-Z]+(\.\w+)?(:[A-Z]+)?", str(module.argument)):
        yield f"argument is {module.argument!r}"
    yield from takes(module, "bind", ("argument", ""))
    yield from returns(module, "bind", expected)


def models(module: ModuleType) -> Iterator[str]:
    """``build(num_classes)``, ``input_size``, ``weights``, ``requires``; or ``bind(argument)``."""
    yield from is_names(module, "requires")
    if hasattr(module, "argument"):
        yield from binds(module, "Architecture")
        return
    yield from takes(module, "build", ("num_classes", ""))
    yield from is_size(module, "input_size")
    weights = getattr(module, "weights", "absent")
    if weights is not None and (not isinstance(weights, str) or weights == "absent"):
        yield f"weights is {weights!r}"


def datasets(module: ModuleType) -> Iterator[str]:
    """``load(split, root=None, reading=…)``, ``native_size``, ``requires``, perhaps ``own``; or ``bind(argument)``."""
    yield from is_names(module, "requires")
    if hasattr(module, "argument"):
        yield from takes(module, "bind", ("argument", ""))
        return
    if getattr(module, "native_size", 0) is not None:
        yield from is_size(module, "native_size")
    if not isinstance(getattr(module, "own", Reading()), Reading):
        yield f"own is {module.own!r}"
    yield from takes(module, "load", ("split", ""), ("root", "="), ("reading", "="))
    yield from returns(module, "load", "Samples")


def criteria(module: ModuleType) -> Iterator[str]:
    """``score(group, statistics, *, options)`` and what it ``needs``."""
    yield from is_names(module, "needs", ("sensitivity", "redundancy"))
    score = getattr(module, "score", None)
    if not inspect.isfunction(score):
        yield "score is no function"
        return
    found = parameters(score)
    if found[:2] != [("group", ""), ("statistics", "")] or any(kind != "*=" for _, kind in found[2:]):
        yield f"score takes {found}"


def methods(module: ModuleType) -> Iterator[str]:
    """A ``recipe`` whose every ranking can be computed."""
    recipe = getattr(module, "recipe", None)
    if not isinstance(recipe, Recipe):
        yield f"recipe is {recipe!r}"
        return
    for ranking in recipe.pruning.rankings if recipe.pruning else ():
        if ranking.criterion not in catalog.names("criteria"):
            yield f"there is no criterion {ranking.criterion}"
            continue
        score = catalog.find("criteria", ranking.criterion).score
        unknown = {name for name, _ in ranking.options} - {name for name, kind in parameters(score) if kind == "*="}
        if unknown:
            yield f"{ranking.criterion} has no option {', '.join(sorted(unknown))}"


def runtimes(module: ModuleType) -> Iterator[str]:
    """A complete ``Session``, ``version(host)``, what it ``requires`` and ``opens``, perhaps ``prepare``."""
    yield from is_names(module, "requires")
    yield from takes(module, "version", ("host", ""))
    yield from returns(module, "version", "str")
    opens = getattr(module, "opens", None)
    if opens not in catalog.names("exports"):
        yield f"opens is {opens!r}"
    elif hasattr(catalog.find("exports", opens), "looks_at_images"):
        yield f"opens is {opens!r}, which is written of images"
    if hasattr(module, "prepare"):
        yield from takes(module, "prepare", ("file", ""), ("device", ""), ("folder", ""))
        yield from returns(module, "prepare", "Path")
    if hasattr(module, "peak_memory_bytes"):
        yield from takes(module, "peak_memory_bytes", ("file", ""), ("device", ""))
    if hasattr(module, "operator_times"):
        yield from takes(module, "operator_times", ("file", ""), ("device", ""), ("iterations", ""))
        yield from returns(module, "operator_times", "dict[str, list[float]]")
    session = getattr(module, "Session", None)
    if not (inspect.isclass(session) and issubclass(session, RuntimeSession)):
        yield f"Session is {session!r}"
    elif session.__abstractmethods__:
        yield f"Session lacks {', '.join(sorted(session.__abstractmethods__))}"


def devices(module: ModuleType) -> Iterator[str]:
    """A ``device`` on a runtime there is, and the ``facts()`` that identify it, which touch nothing."""
    device = getattr(module, "device", None)
    if not isinstance(device, Device):
        yield f"device is {device!r}"
        return
    if device.runtime not in catalog.names("runtimes"):
        yield f"there is no runtime {device.runtime}"
    if device.threads < 1 or not device.precisions or not device.summary:
        yield f"device declares {device}"
    yield from takes(module, "facts", ("host", ""))
    if hasattr(module, "limit"):
        yield from takes(module, "limit", ("host", ""))
    if inspect.isfunction(getattr(module, "facts", None)) and parameters(module.facts) == [("host", "")]:
        try:
            facts = module.facts(HERE)
        except HqpError:
            # A board's device says that it is not here.
            facts = {}
        if not all(isinstance(text, str) for pair in facts.items() for text in pair):
            yield f"facts are {facts}"


def probes(module: ModuleType) -> Iterator[str]:
    """``measure(target)`` gives metrics, ``fresh`` says in what process, ``requires`` what it needs."""
    yield from is_names(module, "requires")
    yield from takes(module, "measure", ("target", ""))
    yield from returns(module, "measure", "tuple[Metric, ...]")
    if not isinstance(getattr(module, "fresh", None), bool):
        yield f"fresh is {getattr(module, 'fresh', None)!r}"


def gates(module: ModuleType) -> Iterator[str]:
    """``check(measurement, *, limits)`` gives a verdict; limits are keyword-only numbers with ranges; ``needs``."""
    yield from is_names(module, "needs", ("fp32", "fp16", "bf16", "baseline_latency", "baseline_accuracy"))
    check = getattr(module, "check", None)
    if not inspect.isfunction(check):
        yield "check is no function"
        return
    found = parameters(check)
    if found[:1] != [("measurement", "")] or any(kind not in ("*", "*=") for _, kind in found[1:]):
        yield f"check takes {found}"
    for limit in list(inspect.signature(check).parameters.values())[1:]:
        if annotation(limit.annotation) != "float":
            yield f"limit {limit.name} is no float"
    ranges = getattr(module, "limits", None)
    sound = isinstance(ranges, dict) and all(isinstance(one, Limit) and one.why for one in ranges.values())
    if not sound or list(ranges) != [name for name, _ in found[1:]]:  # type: ignore[arg-type]
        yield f"limits are {ranges!r}"
    yield from returns(module, "check", "Verdict")


def reports(module: ModuleType) -> Iterator[str]:
    """``render(results)``, to which a width may be said, gives text; ``suffix`` is the ending of its files."""
    width = (("width", "="),) if ("width", "=") in parameters(getattr(module, "render", is_size)) else ()
    yield from takes(module, "render", ("results", ""), *width)
    yield from returns(module, "render", "str")
    if not re.fullmatch(r"\.[a-z]+", str(getattr(module, "suffix", ""))):
        yield f"suffix is {getattr(module, 'suffix', None)!r}"


def exports(module: ModuleType) -> Iterator[str]:
    """``write(onnx_file, out)``, perhaps of images, makes ``opened``; ``read_back(file, images)`` gives its logits."""
    yield from is_names(module, "requires")
    images = (("images", ""),) if getattr(module, "looks_at_images", False) else ()
    yield from takes(module, "write", ("onnx_file", ""), ("out", ""), *images)
    yield from takes(module, "read_back", ("file", ""), ("images", ""))
    if not re.fullmatch(r"[\w.-]+", str(getattr(module, "opened", ""))):
        yield f"opened is {getattr(module, 'opened', None)!r}"


CONTRACTS: dict[str, Contract] = {
    contract.__name__: contract
    for contract in (models, datasets, criteria, methods, runtimes, devices, probes, gates, reports, exports)
}
PLUGINS = [(kind, name) for kind in catalog.KINDS for name in catalog.names(kind)]


def broken(kind: str, module: ModuleType) -> list[str]:
    """What a module breaks of the contract of its kind."""
    return [*describes_itself(module), *CONTRACTS[kind](module)]


def test_every_kind_has_a_contract() -> None:
    assert set(CONTRACTS) == set(catalog.KINDS)


@pytest.mark.parametrize(("kind", "name"), PLUGINS, ids=[f"{kind}.{name}" for kind, name in PLUGINS])
def test_a_plugin_keeps_its_contract(kind: str, name: str) -> None:
    assert broken(kind, catalog.find(kind, name)) == []


SESSION = """
from hqp.runtimes import LocalSession
requires = ()
opens = "onnx"
def version(host) -> str: return "1"
class Session(LocalSession):
    def _load(self): pass
"""
DEVICE = """
from hqp.records import Device, Policy
device = Device("cpu_magic", 0, (), Policy(), "")
def facts(host): return {"cpu": 1}
def limit(): return None
"""
PRUNES = """
from hqp.records import Pruning, Ranking, Recipe
recipe = Recipe(pruning=Pruning((Ranking("magnitude", norn="l1"), Ranking("luck"))))
"""

# For each kind: a plug-in that breaks its contract, and how.
PLANTED = (
    ("models", "requires = ['torch']", ["requires is ['torch']", "build is", "input_size is None", "weights is 'abs"]),
    (
        "models",
        "requires = ()\ndef build(classes): pass\ninput_size = 32.0\nweights = None",
        ["build takes [('classes', '')]", "input_size is 32.0"],
    ),
    (
        "models",
        "requires = ()\nargument = 'a name'\ndef bind(name): pass",
        ["argument is 'a name'", "bind takes [('name', '')]", "bind does not return Architecture"],
    ),
    ("datasets", "requires = ()\nargument = 'PATH'\ndef bind(path): pass", ["bind takes [('path', '')]"]),
    (
        "datasets",
        "requires = ()\nnative_size = 0\nown = 0.875\ndef load(split): pass",
        ["native_size is 0", "own is 0.875", "load takes [('split', '')]", "load does not return Samples"],
    ),
    ("criteria", "needs = ('hessian',)\ndef score(group, statistics, norm='l1'): pass", ["needs is", "score takes"]),
    ("criteria", "needs = ()", ["score is no function"]),
    ("methods", "recipe = {}", ["recipe is {}"]),
    ("methods", PRUNES, ["magnitude has no option norn", "there is no criterion luck"]),
    (
        "runtimes",
        "requires = ()\ndef version(): pass\ndef prepare(file): pass\nclass Session: pass\npeak_memory_bytes = 1",
        [
            "version takes []",
            "version does not",
            "opens is None",
            "prepare takes",
            "prepare does not",
            "peak_memory_bytes is no",
            "Session is",
        ],
    ),
    ("runtimes", SESSION, ["Session lacks _request, _unload"]),
    ("devices", "device = 'cpu'", ["device is 'cpu'"]),
    ("devices", DEVICE, ["there is no runtime cpu_magic", "device declares", "limit takes []", "facts are {'cpu': 1}"]),
    (
        "probes",
        "fresh = 1\ndef measure(file) -> 'Metric': pass",
        ["requires is None", "measure takes [('file', '')]", "measure does not return tuple", "fresh is 1"],
    ),
    (
        "gates",
        "needs = 'baseline'\ndef check(measurement, max_pp: float, *, min_pp: int): pass",
        ["needs is 'baseline'", "check takes", "limit min_pp is no", "limits are None", "check does not return"],
    ),
    (
        "gates",
        "needs = ()\nlimits = {'max_pp': (0, 1)}\ndef check(measurement, *, max_pp: float) -> 'Verdict': pass",
        ["limits are {'max_pp': (0, 1)}", "check does not return"],
    ),
    (
        "exports",
        "requires = ()\nopened = 'out/model'\ndef write(file, out): pass",
        ["write takes [('file', '')", "read_back is no function", "opened is 'out/model'"],
    ),
    (
        "reports",
        "suffix = 'md'\ndef render(results, wide) -> bytes: pass",
        ["render takes", "render does not return str", "suffix is 'md'"],
    ),
)


def planted(source: str, doc: str = "What it is.", name: str = "planted") -> ModuleType:
    """A module of that source."""
    module = ModuleType(f"hqp.planted.{name}", doc)
    exec(source, module.__dict__)
    return module


@pytest.mark.parametrize(
    ("kind", "source", "expected"), PLANTED, ids=[f"{one[0]}-{n}" for n, one in enumerate(PLANTED)]
)
def test_a_planted_plugin_breaks_its_contract(kind: str, source: str, expected: list[str]) -> None:
    found = broken(kind, planted(source))
    assert [line[: len(start)] for line, start in zip(found, expected, strict=False)] == expected
    assert len([line for line in found if not line.startswith(tuple(expected))]) == 0


def test_every_contract_has_a_planted_plugin_that_breaks_it() -> None:
    assert {kind for kind, *_ in PLANTED} == set(CONTRACTS)


@pytest.mark.parametrize("doc", ["", "no full stop", "A sentence. " * 20])
def test_a_plugin_without_a_summary_is_found(doc: str) -> None:
    assert [line[:17] for line in describes_itself(planted("", doc))] == ["docstring begins "]


def test_a_plugin_with_a_name_that_no_one_can_type_is_found() -> None:
    assert list(describes_itself(planted("", name="Speed-Up"))) == ["hqp.planted.Speed-Up is no plug-in name"]
