"""A plug-in is a file or an entry point, found by name; nothing is imported to list it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import hqp
from hqp import catalog
from hqp.errors import HqpError, NotInstalled, UnknownName

PACKAGE = Path(hqp.__file__).parent


@pytest.fixture
def contribute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A distribution, installed in a folder, that contributes plug-ins of every sort."""
    entry_points = {
        "criteria.random_choice": "their_criterion",
        "gates.wrong": "their_criterion:score",
        "runtimes.absent": "their_runtime",
        "criteria.": "their_criterion",
        "elsewhere.ignored": "their_criterion",
    }
    metadata = tmp_path / "theirs-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    lines = [f"{name} = {value}" for name, value in entry_points.items() if not name.endswith(".")]
    (metadata / "entry_points.txt").write_text("\n".join(["[hqp.plugins]", *lines]))
    (tmp_path / "their_criterion.py").write_text("needs = ()\ndef score(group, statistics): return 1")
    (tmp_path / "their_runtime.py").write_text("requires = ('numpy', 'no_such_package')")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.parametrize("kind", catalog.KINDS)
def test_names_are_those_of_the_files(kind: str) -> None:
    files = {path.stem for path in (PACKAGE / kind).iterdir() if path.suffix == ".py"}
    expected = {name for name in files if not name.startswith("_")}
    assert expected <= set(catalog.names(kind))
    assert list(catalog.names(kind)) == sorted(catalog.names(kind))


def test_every_folder_of_plugins_is_a_kind() -> None:
    others = {"cli", "compress", "measure", "plugin", "run", "stats", "records", "fixtures", "__pycache__"}
    assert {path.name for path in PACKAGE.iterdir() if path.is_dir()} - others == set(catalog.KINDS)


@pytest.mark.usefixtures("contribute")
def test_an_entry_point_is_listed_without_being_imported_and_found_by_name() -> None:
    assert "random_choice" in catalog.names("criteria")
    assert "their_criterion" not in sys.modules
    assert "ignored" not in {name for kind in catalog.KINDS for name in catalog.names(kind)}
    assert catalog.load("criteria", "random_choice").score(None, None) == 1
    del sys.modules["their_criterion"]


@pytest.mark.usefixtures("contribute")
def test_an_entry_point_that_is_no_module_is_one_line() -> None:
    with pytest.raises(HqpError, match=r"their_criterion:score is no module; gates.wrong = 'package.module'"):
        catalog.find("gates", "wrong")
    del sys.modules["their_criterion"]


def test_an_entry_point_that_raises_is_one_line(contribute: Path) -> None:
    (contribute / "their_criterion.py").write_text("import sys\nsys.exit(0)")
    with pytest.raises(HqpError) as refused:
        catalog.find("criteria", "random_choice")
    said = "criterion 'random_choice' (their_criterion) cannot be imported (SystemExit: 0, their_criterion.py line 2)"
    assert str(refused.value) == f"{said}; a package that runs here"


@pytest.mark.usefixtures("contribute")
def test_what_a_plugin_requires_is_missing_in_one_line() -> None:
    module = catalog.find("runtimes", "absent")
    assert catalog.missing(module) == ("no_such_package",)
    with pytest.raises(
        NotInstalled, match="needs no_such_package, not installed here; try: pip install no_such_package"
    ):
        catalog.load("runtimes", "absent")
    del sys.modules["their_runtime"]


def test_a_part_of_an_absent_package_is_absent() -> None:
    module = ModuleType("needs_parts")
    module.requires = ("no_such_package.part", "hqp.records", "json")  # type: ignore[attr-defined]
    assert catalog.missing(module) == ("no_such_package.part",)


def test_without_the_distribution_its_names_are_unknown() -> None:
    with pytest.raises(UnknownName, match="unknown criterion 'random_choice'"):
        catalog.find("criteria", "random_choice")


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("models", "resnet81", "unknown model 'resnet81'; did you mean resnet18?"),
        ("criteria", "fishr", "unknown criterion 'fishr'; did you mean fisher or fisher_obd or fisher_refit?"),
        ("gates", "_wording", "unknown gate '_wording'"),
        ("methods", "__init__", "unknown method '__init__'"),
        ("reports", "../cli", "unknown report '../cli'"),
    ],
)
def test_an_unknown_name_gets_the_nearest_ones(kind: str, name: str, expected: str) -> None:
    with pytest.raises(UnknownName) as caught:
        catalog.find(kind, name)
    assert str(caught.value).startswith(expected)


def test_a_plugin_is_one_new_file(tmp_path: Path) -> None:
    """In a copy of the package, with nothing edited, the new file is listed and loaded."""
    shutil.copytree(PACKAGE, tmp_path / "hqp", ignore=shutil.ignore_patterns("__pycache__", "fixtures"))
    (tmp_path / "hqp" / "methods" / "twice.py").write_text('"""Everything twice."""\nrecipe = None')
    show = "import json\nfrom hqp import catalog\nfrom hqp.run.listing import listing\n"
    show += (
        "print(json.dumps([catalog.load('methods', 'twice').__file__, [one.summary for one in listing('methods')]]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", show],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    file, summaries = json.loads(done.stdout)
    assert Path(file) == tmp_path / "hqp" / "methods" / "twice.py"
    assert "Everything twice." in summaries
