"""The list of certifications: the same request is one use, another one the next, of two processes too."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from hqp.errors import Damaged, HqpError
from hqp.run.certifications import Place, Use, noted, path_of, read
from hqp.run.inputs.request import Request, resolve
from hqp.run.plugins import Plugins
from hqp.store import Store
from hqp.suite import Model

CHECKPOINT, IMAGES = "a" * 64, "b" * 64


def use(root: Path, request: str, alpha: float = 0.05, images: str = IMAGES) -> Place:
    return noted(Store(root), CHECKPOINT, images, request * 64, alpha)


def test_a_certification_knows_those_before_it(tmp_path: Path) -> None:
    assert use(tmp_path, "1") == Place(1, 0.0)
    assert use(tmp_path, "2", alpha=0.01) == Place(2, 0.05)
    assert use(tmp_path, "3") == Place(3, pytest.approx(0.06))
    assert use(tmp_path, "2", alpha=0.01) == Place(2, 0.05), "the same file again looks at nothing new"
    assert use(tmp_path, "4", images="c" * 64) == Place(1, 0.0), "other images"


def test_a_list_that_was_edited_is_refused(tmp_path: Path) -> None:
    use(tmp_path, "1")
    path_of(tmp_path, CHECKPOINT, IMAGES).write_text("{}")
    with pytest.raises(Damaged, match="has schema None"):
        use(tmp_path, "2")


MANY = """
import sys
from pathlib import Path
from hqp.run.certifications import noted
from hqp.store import Store

for number in range(10):
    noted(Store(Path(sys.argv[1])), "a" * 64, "b" * 64, sys.argv[2] + format(number, "063x"), 0.05)
"""


def test_two_processes_lose_none(tmp_path: Path) -> None:
    command = [sys.executable, "-c", MANY, str(tmp_path)]
    both = [subprocess.Popen([*command, first]) for first in "ef"]
    assert [process.wait() for process in both] == [0, 0]
    uses = read(path_of(tmp_path, CHECKPOINT, IMAGES))
    assert len(uses) == len({use.request for use in uses}) == 20
    assert all(isinstance(use, Use) for use in uses)


@pytest.mark.parametrize(
    ("method", "alpha", "said"),
    [
        ("fp32", 0.01, "fp32 certifies nothing that --alpha could bound; a method that does; try: hqp list"),
        ("hqp", 0.0, "--alpha is 0.0; a number from 1e-06 to 0.5: how often a certificate may be wrong"),
        ("hqp", 0.6, "--alpha is 0.6; "),
    ],
)
def test_a_level_that_is_none_is_refused_before_anything_is_loaded(method: str, alpha: float, said: str) -> None:
    request = Request(Model("resnet18"), "signs", method, "cpu_onnxruntime", 1.5, alpha=alpha)
    with pytest.raises(HqpError) as refused:
        resolve(request, Plugins())
    assert str(refused.value).startswith(said)


def test_the_level_that_is_asked_for_is_the_recipe_s() -> None:
    request = Request(Model("resnet18"), "signs", "hqp", "cpu_onnxruntime", 1.5)
    assert resolve(request, Plugins()).recipe.alpha == 0.05
    assert resolve(replace(request, alpha=0.01), Plugins()).recipe.alpha == 0.01
