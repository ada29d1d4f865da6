"""The house holds: layers, limits and habits of the source, each check shown to fail on a planted violation.

A check takes a package's folder and returns what breaks it, one line each.
"""

from __future__ import annotations

import ast
import functools
import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import hqp

PACKAGE = Path(hqp.__file__).parent
Check = Callable[[Path], list[str]]

LEVELS = {
    6: ("__main__",),
    5: ("cli", "plugin"),
    4: ("run",),
    3: (
        "models", "datasets", "criteria", "methods", "runtimes", "devices", "probes", "gates", "reports", "exports",
        "compress",
        "measure",
    ),
    2: (
        "catalog", "store", "ledger", "stats", "baselines", "onnx_rules", "onnx_speed", "typings", "nvml", "transport",
        "power", "tegrastats",
    ),
    1: ("records", "suite", "errors", "foreign", "spelling", "documents", "__init__"),
}  # fmt: skip
LEVEL = {unit: level for level, units in LEVELS.items() for unit in units}

# What exports that start from PyTorch share.
LATE = Path("exports", "_torch.py")
ENGINE = ("torch", "torchvision", "torch_pruning", "onnxscript", "safetensors")
HEAVY = (*ENGINE, "onnxruntime", "openvino", "tensorrt", "pycuda", "cv2", "jinja2", "matplotlib")
STATS_MAY_IMPORT = (
    "__future__", "collections", "dataclasses", "functools", "itertools", "math", "typing", "typing_extensions",
    "numpy", "scipy",
)  # fmt: skip

# Where anything may arrive: code that is not HQP's, a thread whose errors are told in another one, and the outermost
# frame, whose exit code for a crash is its own.
CATCH_ALL = ("foreign.py", "run/limited.py", "cli/ending.py")

FILE_LINES, FUNCTION_LINES = 400, 60
EMPTY_WORDS = {"util", "utils", "common", "helper", "helpers", "manager", "managers"}
REMOVES = re.compile(r"(?<![\w-])rm(?![\w-])")
CAMEL = re.compile("[A-Z]+[a-z0-9]*")
# Calls that only make a value may stand at module level; constructors are known by their capital, and a module's own
# functions may be called there as long as they call nothing else.
VALUE_CALLS = {
    "frozenset",
    "tuple",
    "dict",
    "set",
    "list",
    "range",
    "zip",
    "sorted",
    "len",
    "enumerate",
    "round",
    "abs",
}
VALUE_CALLS |= {
    "float",
    "int",
    "str",
    "max",
    "min",
    "sum",
    "field",
    "replace",
    "compile",
    "items",
    "keys",
    "values",
    "append",
}
# Declares a group of commands, as the decorators of its functions do.
VALUE_CALLS |= {"add_typer"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


# --- reading the source -------------------------------------------------------------------------------------------


def files(root: Path) -> list[Path]:
    """The Python files of a package."""
    return sorted(path for path in root.rglob("*.py") if "fixtures" not in path.relative_to(root).parts)


@functools.cache
def tree(file: Path) -> ast.Module:
    """The syntax tree of a file, parsed once."""
    return ast.parse(file.read_text(encoding="utf-8"))


def place(root: Path, file: Path, node: ast.AST | None = None) -> str:
    """``folder/file.py:line``."""
    line = f":{node.lineno}" if node is not None and hasattr(node, "lineno") else ""
    return f"{file.relative_to(root).as_posix()}{line}"


def module_name(root: Path, file: Path) -> str:
    """The dotted name of a file, that of the folder for an ``__init__.py``."""
    parts = (root.name, *file.relative_to(root).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(root: Path, file: Path, node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """Every import below ``node``, those inside functions too: the statement and the module it names."""
    for found in ast.walk(node):
        if isinstance(found, ast.Import):
            yield from ((found, alias.name) for alias in found.names)
        elif isinstance(found, ast.ImportFrom):
            base = found.module or ""
            if found.level:
                own = module_name(root, file).split(".")
                package = own if file.name == "__init__.py" else own[:-1]
                base = ".".join([*package[: len(package) - found.level + 1], *([base] if base else [])])
            for alias in found.names:
                parts = (*base.split(".")[1:], alias.name)
                below = root.joinpath(*parts)
                inside = base.split(".")[0] == root.name and (below.is_dir() or below.with_suffix(".py").is_file())
                yield found, f"{base}.{alias.name}" if inside else base


def unit(name: str) -> str:
    """The part of the house that a module of the package belongs to."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def at_import(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that run when a module is imported, without those under ``if TYPE_CHECKING``."""
    for node in body:
        if isinstance(node, ast.If):
            condition = ast.unparse(node.test)
            if condition not in ("TYPE_CHECKING", "__name__ == '__main__'"):
                yield node
        else:
            yield node
            if isinstance(node, ast.ClassDef):
                yield from at_import(node.body)


# --- the checks ---------------------------------------------------------------------------------------------------


def layers(root: Path) -> list[str]:
    """Imports go down only, and never sideways where a package is on either side.

    The words of level 1 may know each other, as long as there is no cycle.
    """
    broken = []
    packages = {path.name for path in root.iterdir() if path.is_dir()}
    for file in files(root):
        mine = unit(module_name(root, file))
        if file == root / "__init__.py":
            # It passes on public names of any level, and imports none of them before one is asked for.
            continue
        if file == root / "__init__.py":
            # It passes on public names of any level, and imports none of them before one is asked for.
            continue
        if mine not in LEVEL:
            broken.append(f"{place(root, file)}: {mine} has no level")
            continue
        for node, name in imports(root, file, tree(file)):
            if name.split(".")[0] != root.name or unit(name) == mine:
                continue
            other = unit(name)
            sideways = LEVEL.get(other) == LEVEL[mine] > 1 and {mine, other} & packages
            if other not in LEVEL or LEVEL[other] > LEVEL[mine] or sideways:
                broken.append(f"{place(root, file, node)}: {mine} imports {other}")
    return broken


def stats_are_pure(root: Path) -> list[str]:
    """``stats`` imports numpy, scipy and records: no file, no clock, no device."""
    broken = []
    for file in files(root):
        if unit(module_name(root, file)) != "stats":
            continue
        for node, name in imports(root, file, tree(file)):
            outside = name.split(".")[0] in STATS_MAY_IMPORT
            if not outside and (name.split(".")[0] != root.name or unit(name) not in ("stats", "records")):
                broken.append(f"{place(root, file, node)}: stats imports {name}")
    return broken


def engine_stays_home(root: Path) -> list[str]:
    """Torch and what belongs to it is named where it is built upon, and torchvision's readers in datasets/."""
    broken = []
    for file in files(root):
        home = unit(module_name(root, file))
        if home in ("compress", "models", "exports"):
            continue
        module = tree(file)
        typing_only = _typing_only(module)
        for node, name in imports(root, file, module):
            readers = home == "datasets" and name.startswith("torchvision.datasets")
            if name.split(".")[0] in ENGINE and node not in typing_only and not readers:
                broken.append(f"{place(root, file, node)}: imports {name}")
    return broken


def _typing_only(module: ast.Module) -> set[ast.AST]:
    guards = (node for node in ast.walk(module) if isinstance(node, ast.If))
    return {node for guard in guards if ast.unparse(guard.test) == "TYPE_CHECKING" for node in ast.walk(guard)}


def in_engine(root: Path, file: Path) -> bool:
    """Whether a file is imported late, and so may import torch first."""
    return unit(module_name(root, file)) == "compress" or file == root / LATE


def heavy_imports_are_late(root: Path) -> list[str]:
    """Outside the engine's rooms, torch and runtimes are imported inside the function that needs them."""
    broken = []
    for file in files(root):
        if in_engine(root, file):
            continue
        for statement in at_import(tree(file).body):
            if isinstance(statement, ast.Import | ast.ImportFrom):
                broken += [
                    f"{place(root, file, node)}: {name} at module level"
                    for node, name in imports(root, file, statement)
                    if name.split(".")[0] in HEAVY or name.startswith(f"{root.name}.compress")
                ]
    return broken


def acyclic(root: Path) -> list[str]:
    """No import cycle, late imports included."""
    graph: dict[str, set[str]] = {}
    for file in files(root):
        me = module_name(root, file)
        module = tree(file)
        typing_only = _typing_only(module)
        named = {name for node, name in imports(root, file, module) if node not in typing_only}
        # The package's own `__init__` runs before any of its modules and imports none of those above it.
        graph[me] = {name for name in named if name.split(".")[0] == root.name and name not in (me, root.name)}
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        return [" -> ".join(error.args[1])]
    return []


def short_files(root: Path) -> list[str]:
    """No file over 400 lines."""
    counted = ((file, len(file.read_text(encoding="utf-8").splitlines())) for file in files(root))
    return [f"{place(root, file)}: {lines} lines" for file, lines in counted if lines > FILE_LINES]


def short_functions(root: Path) -> list[str]:
    """No function over 60 lines, decorators and docstring included."""
    broken = []
    for file in files(root):
        for node in ast.walk(tree(file)):
            if isinstance(node, Function):
                first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
                lines = (node.end_lineno or node.lineno) - first + 1
                if lines > FUNCTION_LINES:
                    broken.append(f"{place(root, file, node)}: {node.name} has {lines} lines")
    return broken


def narrow_excepts(root: Path) -> list[str]:
    """No bare except and no ``except Exception`` but in ``CATCH_ALL``; ``BaseException`` only to tidy up."""
    broken = []
    for file in files(root):
        if place(root, file) in CATCH_ALL:
            continue
        for node in ast.walk(tree(file)):
            if not isinstance(node, ast.ExceptHandler):
                continue
            caught = {name.id for name in ast.walk(node.type) if isinstance(name, ast.Name)} if node.type else {"all"}
            last = node.body[-1]
            again = isinstance(last, ast.Raise) and last.exc is None
            if caught & {"all", "Exception"} or ("BaseException" in caught and not again):
                broken.append(f"{place(root, file, node)}: except {', '.join(sorted(caught))}")
    return broken


def immutable_defaults(root: Path) -> list[str]:
    """No mutable value is a default."""
    mutable = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
    broken = []
    for file in files(root):
        for node in ast.walk(tree(file)):
            if not isinstance(node, Function | ast.Lambda):
                continue
            for default in (*node.args.defaults, *node.args.kw_defaults):
                made = isinstance(default, ast.Call) and ast.unparse(default.func) in (
                    "list",
                    "dict",
                    "set",
                    "bytearray",
                )
                if isinstance(default, mutable) or made:
                    broken.append(f"{place(root, file, default)}: default {ast.unparse(default)}")
    return broken


def idle_imports(root: Path) -> list[str]:
    """Importing a module defines names and constants, and does nothing else."""
    broken = []
    for file in files(root):
        own = {node.name: node for node in ast.walk(tree(file)) if isinstance(node, Function)}
        for node in at_import(tree(file).body):
            if isinstance(node, ast.Import | ast.ImportFrom | ast.ClassDef | Function | ast.Pass):
                continue
            value = node.value if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.Expr) else node
            if value is not None and (isinstance(value, ast.stmt) or not _only_makes_values(value, own)):
                broken.append(f"{place(root, file, node)}: {ast.unparse(node).splitlines()[0]}")
    return broken


def _only_makes_values(node: ast.AST, own: Mapping[str, Function]) -> bool:
    late = {inner for found in ast.walk(node) if isinstance(found, ast.Lambda) for inner in ast.walk(found.body)}
    for call in (found for found in ast.walk(node) if isinstance(found, ast.Call) and found not in late):
        name = ast.unparse(call.func)
        last = name.split(".")[-1].lstrip("_")
        if name in own:
            others = {known: function for known, function in own.items() if known != name}
            if not _only_makes_values(own[name], others):
                return False
        elif not (name in VALUE_CALLS or name.startswith("math.") or last in VALUE_CALLS or last[:1].isupper()):
            return False
    return True


def documented(root: Path) -> list[str]:
    """Modules, public classes and functions have docstrings; so has a method of more than one statement.

    Methods that a base class documents, and those of private classes, need none of their own.
    """
    broken = []
    for file in files(root):
        module = tree(file)
        if not ast.get_docstring(module):
            broken.append(f"{place(root, file)}: no docstring")
        for node, owner in public(module):
            if isinstance(node, Function) and owner is not None and (len(node.body) == 1 or owner.bases):
                continue
            if not ast.get_docstring(node):
                broken.append(f"{place(root, file, node)}: {node.name} has no docstring")
    return broken


def public(module: ast.Module) -> Iterator[tuple[Function | ast.ClassDef, ast.ClassDef | None]]:
    """The public definitions of a module, and the public methods of its public classes with their class."""
    for node in module.body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            yield node, None
            if isinstance(node, ast.ClassDef):
                for inner in node.body:
                    if isinstance(inner, Function) and not inner.name.startswith("_"):
                        yield inner, node


def annotated(root: Path) -> list[str]:
    """Every parameter and result of a public function or method has a type."""
    broken = []
    for file in files(root):
        for node, owner in public(tree(file)):
            if not isinstance(node, Function):
                continue
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            arguments += [one for one in (node.args.vararg, node.args.kwarg) if one is not None]
            bound = owner is not None and "staticmethod" not in map(ast.unparse, node.decorator_list)
            bare = [one.arg for one in arguments[1 if bound else 0 :] if one.annotation is None]
            bare += ["return"] if node.returns is None else []
            if bare:
                broken.append(f"{place(root, file, node)}: {node.name} does not annotate {', '.join(bare)}")
    return broken


def telling_names(root: Path) -> list[str]:
    """No file or class is called utils, common, helpers or manager; onnxruntime is never abbreviated."""
    broken = []
    for file in files(root):
        stem = set(file.relative_to(root).with_suffix("").as_posix().replace("/", "_").split("_"))
        broken += [f"{place(root, file)}: {word}" for word in sorted(stem & {*EMPTY_WORDS, "ort"})]
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.ClassDef) and EMPTY_WORDS & {word.lower() for word in CAMEL.findall(node.name)}:
                broken.append(f"{place(root, file, node)}: {node.name}")
            broken += [f"{place(root, file, node)}: {name}" for name in _defined(node) if "ort" in name.split("_")]
    return broken


def _defined(node: ast.AST) -> Iterator[str]:
    if isinstance(node, Function):
        yield node.name
    elif isinstance(node, ast.arg):
        yield node.arg
    elif isinstance(node, ast.alias):
        yield node.asname or ""
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id


def no_hint_removes(root: Path) -> list[str]:
    """No text tells a user to remove a file: what is damaged is made anew, and what is his stays his."""
    broken = []
    for file in files(root):
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and REMOVES.search(node.value):
                broken.append(f"{place(root, file, node)}: {node.value.strip()}")
    return broken


CHECKS: tuple[Check, ...] = (
    layers,
    stats_are_pure,
    engine_stays_home,
    heavy_imports_are_late,
    acyclic,
    short_files,
    short_functions,
    narrow_excepts,
    immutable_defaults,
    idle_imports,
    documented,
    annotated,
    telling_names,
    no_hint_removes,
)


LONG_FUNCTION = "def long() -> None:\n" + "    x = 1\n" * FUNCTION_LINES
INTO_A_CYCLE = {"catalog.py": "import hqp.store", "store.py": "def late():\n    from hqp import catalog"}

# For each check: files that break it, and the beginning of each line it must give.
PLANTED: tuple[tuple[Check, dict[str, str], tuple[str, ...]], ...] = (
    (layers, {"records.py": "from hqp.catalog import names"}, ("records.py:1: records imports catalog",)),
    (layers, {"catalog.py": "def late():\n    from hqp import run", "run/a.py": ""}, ("catalog.py:2: catalog imp",)),
    (layers, {"gates/speed.py": "from ..run.bench import x"}, ("gates/speed.py:1: gates imports run",)),
    (layers, {"gates/speed.py": "import hqp.measure.sampler"}, ("gates/speed.py:1: gates imports measure",)),
    (layers, {"compress/prune.py": "from hqp.criteria import x"}, ("compress/prune.py:1: compress imports criteria",)),
    (layers, {"baselines.py": "from hqp import stats", "stats/a.py": ""}, ("baselines.py:1: baselines imports stats",)),
    (layers, {"extras.py": ""}, ("extras.py: extras has no level",)),
    (stats_are_pure, {"stats/paired.py": "import os"}, ("stats/paired.py:1: stats imports os",)),
    (stats_are_pure, {"stats/paired.py": "def f():\n    from time import time"}, ("stats/paired.py:2: stats imp",)),
    (stats_are_pure, {"stats/paired.py": "from hqp.errors import HqpError"}, ("stats/paired.py:1: stats imp",)),
    (engine_stays_home, {"gates/a.py": "def f():\n    import torch.nn"}, ("gates/a.py:2: imports torch.nn",)),
    (engine_stays_home, {"run/a.py": "def f():\n    import torch_pruning"}, ("run/a.py:2: imports torch_pruning",)),
    (engine_stays_home, {"datasets/a.py": "from torchvision import ops"}, ("datasets/a.py:1: imports torchvision",)),
    (heavy_imports_are_late, {"models/a.py": "from torch import nn"}, ("models/a.py:1: torch at module",)),
    (heavy_imports_are_late, {"runtimes/a.py": "import openvino"}, ("runtimes/a.py:1: openvino at module",)),
    (heavy_imports_are_late, {"run/a.py": "class A:\n    import cv2"}, ("run/a.py:2: cv2 at module",)),
    (heavy_imports_are_late, {"run/a.py": "from hqp.compress import prune"}, ("run/a.py:1: hqp.compress at module",)),
    (acyclic, INTO_A_CYCLE, ("hqp.",)),
    (short_files, {"a.py": "x = 1\n" * (FILE_LINES + 1)}, ("a.py: 401 lines",)),
    (short_functions, {"a.py": LONG_FUNCTION}, ("a.py:1: long has 61 lines",)),
    (short_functions, {"a.py": "class A:\n" + textwrap.indent(LONG_FUNCTION, "    ")}, ("a.py:2: long has 61 lines",)),
    (narrow_excepts, {"a.py": "try:\n    x = 1\nexcept:\n    raise"}, ("a.py:3: except all",)),
    (narrow_excepts, {"a.py": "try:\n    x = 1\nexcept Exception:\n    raise"}, ("a.py:3: except Exception",)),
    (narrow_excepts, {"a.py": "try:\n    x = 1\nexcept (OSError, Exception) as e:\n    pass"}, ("a.py:3: except Exc",)),
    (narrow_excepts, {"a.py": "try:\n    x = 1\nexcept BaseException:\n    x = 2"}, ("a.py:3: except BaseException",)),
    (immutable_defaults, {"a.py": "def f(x=[]): pass"}, ("a.py:1: default []",)),
    (immutable_defaults, {"a.py": "def f(*, x=dict()): pass"}, ("a.py:1: default dict()",)),
    (immutable_defaults, {"a.py": "class A:\n    def f(self, x={1}): pass"}, ("a.py:2: default {1}",)),
    (idle_imports, {"a.py": "print('here')"}, ("a.py:1: print",)),
    (idle_imports, {"a.py": "for x in range(3):\n    y = x"}, ("a.py:1: for",)),
    (idle_imports, {"a.py": "with open('x') as f:\n    y = 1"}, ("a.py:1: with",)),
    (idle_imports, {"a.py": "import os\nHOME = os.getcwd()"}, ("a.py:2: HOME",)),
    (idle_imports, {"a.py": "class A:\n    names = sorted(load())"}, ("a.py:2: names",)),
    (idle_imports, {"a.py": "def _make():\n    return open('x')\nX = _make()"}, ("a.py:3: X",)),
    (idle_imports, {"a.py": "try:\n    import torch\nexcept ImportError:\n    torch = None"}, ("a.py:1: try",)),
    (documented, {"a.py": "x = 1"}, ("a.py: no docstring",)),
    (documented, {"a.py": "'''A.'''\ndef f():\n    return 1"}, ("a.py:2: f has no docstring",)),
    (documented, {"a.py": "'''A.'''\nclass A:\n    x = 1"}, ("a.py:2: A has no docstring",)),
    (
        documented,
        {"a.py": "'''A.'''\nclass A:\n    '''A.'''\n    def f(self):\n        x = 1\n        return x"},
        ("a.py:4: f has no docstring",),
    ),
    (annotated, {"a.py": "def f(x) -> None: pass"}, ("a.py:1: f does not annotate x",)),
    (annotated, {"a.py": "def f(x: int): pass"}, ("a.py:1: f does not annotate return",)),
    (annotated, {"a.py": "class A:\n    def f(self, *xs) -> None: pass"}, ("a.py:2: f does not annotate xs",)),
    (telling_names, {"run/utils.py": ""}, ("run/utils.py: utils",)),
    (telling_names, {"string_helpers.py": ""}, ("string_helpers.py: helpers",)),
    (telling_names, {"a.py": "class StoreManager: pass"}, ("a.py:1: StoreManager",)),
    (telling_names, {"a.py": "import onnxruntime as ort"}, ("a.py:1: ort",)),
    (telling_names, {"a.py": "def f(ort_session): pass"}, ("a.py:1: ort_session",)),
    (no_hint_removes, {"a.py": "def f(x):\n    return f'try: rm -r {x}'"}, ("a.py:2: try: rm -r",)),
    (no_hint_removes, {"a.py": "fix = command('rm', x)"}, ("a.py:1: rm",)),
)  # fmt: skip

SOUND = {
    "__init__.py": "'''A house.'''\nfrom hqp.suite import Gate\n__all__ = ['Gate']",
    "suite.py": "'''Data.'''\nfrom hqp.errors import HqpError\nclass Gate:\n    '''A gate.'''",
    "errors.py": "'''Errors.'''\nclass HqpError(Exception):\n    '''A mistake.'''",
    "stats/__init__.py": "'''Numbers.'''",
    "stats/summary.py": "'''Sums.'''\nimport math\nimport numpy as np\nfrom hqp.stats import x\nHALF = math.sqrt(0.25)",
    "catalog.py": "'''Plug-ins.'''\nfrom hqp.errors import HqpError",
    "run/__init__.py": "'''Runs.'''",
    "run/bench.py": textwrap.dedent(
        """
        '''Bench.'''
        from typing import TYPE_CHECKING
        from hqp import catalog
        if TYPE_CHECKING:
            import torch

        def _double(x: int) -> int:
            return 2 * abs(x)

        FOUR = _double(2)
        LATER = field(default_factory=lambda: open("x"))

        def run(names: tuple[str, ...] = ()) -> int:
            '''Runs.'''
            import openvino
            try:
                return 1
            except BaseException:
                x = 1
                raise
        """
    ),
}


def plant(folder: Path, sources: Mapping[str, str]) -> Path:
    """A package ``hqp`` of those sources."""
    root = folder / "hqp"
    for name, source in sources.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source, encoding="utf-8")
    return root


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_hqp_keeps(check: Check) -> None:
    assert check(PACKAGE) == []


@pytest.mark.parametrize(
    ("check", "sources", "expected"), PLANTED, ids=[f"{check.__name__}-{n}" for n, (check, *_) in enumerate(PLANTED)]
)
def test_a_planted_violation_is_found(
    check: Check, sources: dict[str, str], expected: tuple[str, ...], tmp_path: Path
) -> None:
    found = check(plant(tmp_path, sources))
    assert [line[: len(start)] for line, start in zip(found, expected, strict=True)] == list(expected)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_what_is_sound_passes(check: Check, tmp_path: Path) -> None:
    assert check(plant(tmp_path, SOUND)) == []


def test_every_check_has_a_planted_violation() -> None:
    assert {check for check, *_ in PLANTED} == set(CHECKS)


# --- what is true only of running code ----------------------------------------------------------------------------

LOADS = """
import importlib, json, sys
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
print(json.dumps(sorted(set(json.loads(sys.argv[2])) & set(sys.modules))))
"""


def loaded(root: Path, wanted: tuple[str, ...]) -> list[str]:
    """Those of ``wanted`` that importing every module outside the engine's rooms loads, in a fresh process."""
    modules = [module_name(root, file) for file in files(root) if not in_engine(root, file)]
    light = [name for name in modules if unit(name) != "__main__"]
    command = [sys.executable, "-c", LOADS, json.dumps(light), json.dumps(wanted)]
    environment = {**os.environ, "PYTHONPATH": str(root.parent)}
    done = subprocess.run(command, env=environment, cwd=root.parent, capture_output=True, text=True, check=True)
    names: list[str] = json.loads(done.stdout)
    return names


def test_importing_hqp_loads_neither_torch_nor_a_runtime() -> None:
    assert loaded(PACKAGE, HEAVY) == []


def test_a_planted_heavy_import_is_found(tmp_path: Path) -> None:
    root = plant(tmp_path, {"__init__.py": "", "gates/__init__.py": "", "gates/speed.py": "import wave"})
    assert loaded(root, ("wave", "sndhdr")) == ["wave"]
