"""What a request's names and numbers stand for, and what is refused of them before anything is read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hqp.errors import HqpError, UnknownName
from hqp.records import PolicyFile, Targets
from hqp.run.inputs.request import Request, resolve
from hqp.run.plugins import Plugins
from hqp.suite import Model

PLAIN = Request(Model("resnet18"), "signs", "hqp", "cpu_onnxruntime", delta_max_pp=1.5)


def test_every_name_becomes_the_plugin_that_it_stands_for() -> None:
    found = resolve(PLAIN, Plugins())
    assert (found.model.__name__, found.dataset.__name__) == ("hqp.models.resnet18", "hqp.datasets.signs")
    assert (found.device.runtime, found.runtime.__name__) == ("onnxruntime", "hqp.runtimes.onnxruntime")
    assert [str(ranking) for ranking in found.criteria] == ["fisher_refit(per=mac)"]


def test_layers_that_are_kept_join_those_of_the_recipe_and_alpha_takes_its_place() -> None:
    found = resolve(replace(PLAIN, keep=("layer4.*",), alpha=0.01), Plugins())
    assert found.recipe.pruning is not None
    assert (found.recipe.pruning.keep, found.recipe.alpha) == (("layer4.*",), 0.01)


def test_a_policy_leaves_no_precision_to_choose() -> None:
    chosen = resolve(PLAIN, Plugins()).recipe
    given = resolve(replace(PLAIN, policy=PolicyFile(1, {"fc": "float"})), Plugins()).recipe
    assert chosen.quantization is not None and given.quantization is not None
    assert chosen.quantization.by_layer and chosen.beside_dense
    assert not given.quantization.by_layer and not given.beside_dense


def test_a_policy_limits_what_is_pruned_and_is_no_matter_to_what_is_not() -> None:
    policy = PolicyFile(1, {}, pruned={"layer4.*": 0.5})
    pruning = resolve(replace(PLAIN, policy=policy), Plugins()).recipe.pruning
    assert pruning is not None and pruning.at_most == {"layer4.*": 0.5}
    assert resolve(replace(PLAIN, method="q8", policy=policy), Plugins()).recipe.pruning is None


@pytest.mark.parametrize(
    ("changes", "wrong"),
    (
        ({"method": "hpq"}, "unknown method 'hpq'"),
        ({"device": "cpu"}, "unknown device 'cpu'"),
        ({"delta_max_pp": 0.0}, "Δmax is 0.0 points"),
        ({"input_size": 7}, "the input size is 7 pixels"),
        ({"expect_top1": 0.81}, "the top-1 that is expected is 0.81"),
        ({"alpha": 0.9}, "--alpha is 0.9"),
        ({"alpha": 0.1, "method": "fp32"}, "fp32 certifies nothing"),
        ({"keep": ("fc",), "method": "q8"}, "q8 removes no filters"),
        ({"targets": Targets(sparsity=1.0)}, "--target-sparsity is 1"),
        ({"targets": Targets(latency_ms=float("inf"))}, "--target-latency-ms is inf"),
        ({"dataset": "image_folder:caf\udce9"}, "is no UTF-8"),
        ({"dataset": "cifar10"}, "there are no weights for resnet18"),
    ),
)
def test_a_mistake_is_one_line(changes: dict[str, Any], wrong: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HqpError, match=wrong) as caught:
        resolve(replace(PLAIN, **changes), Plugins())
    assert "\n" not in str(caught.value)


def test_a_misspelt_name_is_told_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean hqp"):
        resolve(replace(PLAIN, method="hqpp"), Plugins())
