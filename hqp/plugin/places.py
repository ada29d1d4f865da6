"""Which files are suites, what they are called, and where what they need and make is."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hqp.errors import HqpError, command
from hqp.suite import DECLARES

SUITES_FOLDER = "suites"

# Each folder with its default, which starts at the rootdir, and what it is for.
OPTIONS = {
    "store": (".hqp", "where artefacts and results are kept"),
    "baselines": ("baselines", "where baselines are read"),
    "artefacts": ("files in the baselines", "where the baselines' artefacts are read; https:// reads them there"),
}


def folder(config: pytest.Config, name: str) -> Path:
    """The folder that an option, the ini file or else HQP gives."""
    given = _given(config, name)
    if name == "artefacts" and not given:
        return folder(config, "baselines") / "files"
    return config.rootpath / (given or OPTIONS[name][0])


def _given(config: pytest.Config, name: str) -> str:
    return str(config.getoption(f"--hqp-{name}") or config.getini(f"hqp_{name}") or "")


def artefacts(config: pytest.Config) -> str:
    """The folder or the address of the baselines' artefacts."""
    from hqp.run.artefact_files import is_address

    given = _given(config, "artefacts")
    return given if is_address(given) else str(folder(config, "artefacts"))


def results_file(config: pytest.Config, suite: str) -> Path:
    """Where a suite's results stand."""
    from hqp.run import results

    return results.path_of(folder(config, "store"), suite)


def unwritten(error: OSError, path: Path) -> str:
    """The line that tells of a file that was to be written to ``path``."""
    return f"hqp: error: {error.filename or path} was not written: {error.strerror}"


def record_command(config: pytest.Config, suite: str) -> str:
    """What a user types, where he stands, to make a suite's results its baseline."""
    from hqp import baselines
    from hqp.run.artefact_files import is_address
    from hqp.run.results import shown

    words: list[object] = [*baselines.UPDATE.split(), shown(results_file(config, suite))]
    # An address is read only: what is to be served there is uploaded from the default folder.
    folders = [name for name in OPTIONS if not is_address(_given(config, name))]
    for name in folders:
        # The command's own defaults are the plug-in's, seen from the rootdir.
        usual = Path.cwd() / OPTIONS["baselines"][0] / "files" if name == "artefacts" else Path.cwd() / OPTIONS[name][0]
        if folder(config, name) != usual:
            words += [f"--{name}", shown(folder(config, name))]
    return command(*words)


def suite_name(config: pytest.Config, path: Path) -> str:
    """What a suite is called: its path from the rootdir, which no two share; ``signs`` for ``suites/signs.py``.

    Raises:
        HqpError: the file lies elsewhere, or its name cannot name others.
    """
    from hqp import baselines

    if not path.is_relative_to(config.rootpath):
        raise HqpError(f"{path} lies outside of the rootdir {config.rootpath}", fix=f"--rootdir {path.parent}")
    place = path.relative_to(config.rootpath)
    if place.parent == Path(SUITES_FOLDER):
        return baselines.suite_name(place.stem)
    # A file of the rootdir keeps its suffix, so that signs.py is not taken for suites/signs.py.
    return baselines.suite_name(place.with_suffix("").as_posix() if len(place.parts) > 1 else place.name)


def is_suite(path: Path, asked: bool) -> bool:
    """Whether a file declares a suite, and stands in a folder of suites or is asked for by name."""
    if path.suffix != ".py" or path.name == "conftest.py" or path.name.startswith("_"):
        return False
    if not asked and path.parent.name != SUITES_FOLDER:
        return False
    return _declares(path.read_text(encoding="utf-8", errors="replace"))


def _declares(source: str) -> bool:
    """Whether a module imports HQP and assigns a suite, or something to the name ``suite``, at its top level."""
    try:
        module = ast.parse(source)
    except (SyntaxError, ValueError):
        # A suite that does not parse fails; it does not vanish.
        return bool(DECLARES.search(source))
    return any(map(_imports_hqp, module.body)) and any(map(_assigns_suite, module.body))


def _imports_hqp(node: ast.stmt) -> bool:
    if isinstance(node, ast.ImportFrom):
        return (node.module or "").partition(".")[0] == "hqp"
    return isinstance(node, ast.Import) and any(name.name.partition(".")[0] == "hqp" for name in node.names)


def _assigns_suite(node: ast.stmt) -> bool:
    if not isinstance(node, ast.Assign | ast.AnnAssign):
        return False
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    named = "suite" in map(ast.unparse, targets)
    called = isinstance(node.value, ast.Call) and ast.unparse(node.value.func) in ("Suite", "hqp.Suite")
    return named or called


@contextmanager
def at_rootdir(config: pytest.Config) -> Iterator[None]:
    """The rootdir as working directory: paths in a suite, and those of checkpoints, mean the same wherever one is."""
    before = Path.cwd()
    os.chdir(config.rootpath)
    try:
        yield
    finally:
        os.chdir(before)
