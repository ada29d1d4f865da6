"""A suite's file: the suite it declares, and the question that its docstring asks."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from hqp.errors import HqpError
from hqp.suite import Suite


def read(path: Path) -> tuple[str, Suite]:
    """The question and the suite of a file.

    Raises:
        HqpError: it is no Python file, or declares no suite.
    """
    spec = importlib.util.spec_from_file_location(f"hqp_suite_{path.stem}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise HqpError(f"{path} is no Python file", "a file that declares a suite")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    suite = getattr(module, "suite", None)
    if not isinstance(suite, Suite):
        raise HqpError(f"{path.name} declares no suite", "suite = Suite(…)", "from hqp import Gate, Suite")
    return " ".join((module.__doc__ or path.stem).split()), suite
