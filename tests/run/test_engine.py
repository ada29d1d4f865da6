"""The engine's digest: what can change an artefact changes it, and nothing else does."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hqp.records import Pruning, Ranking, Recipe
from hqp.run import engine


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of HQP's sources."""
    copy = tmp_path / "hqp"
    shutil.copytree(engine.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "fixtures"))
    return copy


def digest(package: Path) -> str:
    for cached in (engine.code_digest, engine._tree):
        cached.cache_clear()
    makers = [package / file.relative_to(engine.PACKAGE) for file in engine.MAKERS]
    return engine.code_digest(*makers, package=package)


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


def append(file: Path, text: str) -> None:
    file.write_text(f"{file.read_text(encoding='utf-8')}\n{text}\n", encoding="utf-8")


@pytest.mark.parametrize(
    "name",
    [
        "stats/paired.py",
        "compress/pipeline.py",
        "compress/channels/tracing/rules/moving.py",
        "compress/exporting/layer_record.py",
        "compress/quantisation/qdq.py",
        "records/method.py",
        "store.py",
        "onnx_rules.py",
    ],
)
def test_code_that_makes_artefacts_changes_it(package: Path, name: str) -> None:
    before = digest(package)
    append(package / name, "ANOTHER = 1")
    assert digest(package) != before


def test_a_number_in_the_bound_changes_it(package: Path) -> None:
    before = digest(package)
    edit(package / "stats/paired.py", "100", "101")
    assert digest(package) != before


def test_a_rule_dropped_into_its_folder_changes_it(package: Path) -> None:
    before = digest(package)
    (package / "compress/channels/tracing/rules/folding.py").write_text("'''Folding.'''\n")
    assert digest(package) != before


@pytest.mark.parametrize(
    "name",
    [
        "compress/studies/trial.py",
        "run/studies/zoo.py",
        "run/bench.py",
        "records/baseline.py",
        "gates/speedup.py",
        "criteria/fisher.py",
        "stats/decidable.py",
    ],
)
def test_code_that_makes_nothing_leaves_it(package: Path, name: str) -> None:
    before = digest(package)
    append(package / name, "ANOTHER = 1")
    assert digest(package) == before


def test_comments_docstrings_and_layout_leave_it(package: Path) -> None:
    before = digest(package)
    bound = package / "stats/paired.py"
    append(bound, "# a comment")
    text = bound.read_text(encoding="utf-8")
    bound.write_text(text.replace('"""', '"""In other words: ', 1).replace("\n\n", "\n\n\n"), encoding="utf-8")
    assert digest(package) == before


def planted(folder: Path, **sources: str) -> Path:
    package = folder / "pkg"
    for name, source in sources.items():
        file = package.joinpath(*name.split("__")).with_suffix(".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source)
    for place in {package, *(file.parent for file in package.rglob("*.py"))}:
        (place / "__init__.py").touch()
    return package


def test_imports_are_followed_wherever_they_stand(tmp_path: Path) -> None:
    package = planted(
        tmp_path,
        start="def late():\n    from pkg.a import deep\n    import pkg.b.plain\nimport numpy, os.path",
        a__deep="from . import beside\nfrom ..b import passed",
        a__beside="",
        a__never="",
        b__plain="",
        b__defines="passed = 1\nfrom pkg import start",
        b__behind="other = 2",
    )
    (package / "b/__init__.py").write_text("from pkg.b.defines import passed\nfrom pkg.b.behind import other\nown = 3")
    found = engine.reached(package, [package / "start.py"])
    names = {file.relative_to(package).as_posix() for file in found}
    assert names == {"start.py", "a/deep.py", "a/beside.py", "b/plain.py", "b/defines.py"}
    (package / "a/deep.py").write_text("from ..b import own")
    engine._tree.cache_clear()
    assert package / "b/__init__.py" in engine.reached(package, [package / "start.py"])


def test_a_docstring_alone_is_an_empty_body(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("def f():\n    '''Nothing.'''\nclass A:\n    '''A.'''\n    x = '''kept'''")
    assert engine._code(tmp_path / "one.py") == "def f():\n    pass\n\nclass A:\n    x = 'kept'"


def test_criteria_are_named_by_their_own_code() -> None:
    fisher, magnitude = (Recipe(Pruning((Ranking(name),))) for name in ("fisher", "magnitude"))
    assert engine.criteria_digest(fisher) != engine.criteria_digest(magnitude)
    twice = Recipe(Pruning((Ranking("magnitude", norm="l1"), Ranking("magnitude", norm="l2"))))
    assert engine.criteria_digest(twice) == engine.criteria_digest(magnitude)
    assert engine.criteria_digest(Recipe()) not in (engine.criteria_digest(fisher), engine.engine_digest())


def test_a_plugin_of_another_distribution_is_named_with_what_stands_beside_it(tmp_path: Path) -> None:
    package = planted(tmp_path / "site", used="number = 1")
    elsewhere = planted(
        tmp_path / "other",
        plugin="from pkg.used import number\nfrom . import beside\nfrom .inner.deep import found",
        beside="",
        inner__deep="found = 1",
        never="",
    )
    found = engine.reached(package, [elsewhere / "plugin.py"])
    own = {elsewhere / name for name in ("plugin.py", "beside.py", "inner/deep.py")}
    assert found == own | {package / "used.py"}
