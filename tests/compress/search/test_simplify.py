"""Blocks go in the order of their loss for the time that they save, as many as a share of the bound allows."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from hqp.compress import pipeline
from hqp.compress.blocks import refitting
from hqp.compress.job import calibration_batches
from hqp.compress.search import simplify
from hqp.compress.search.bound import Bound
from hqp.compress.search.candidate import TRAINED, Candidate
from hqp.compress.search.candidates import Candidates
from hqp.compress.search.draft import Draft
from hqp.errors import HqpError
from hqp.records import (
    Accuracy,
    Policy,
    Pruning,
    Quantization,
    Ranking,
    Recipe,
    Recovery,
    Replaced,
    Samples,
    Simplified,
)
from hqp.store import Store

SIZE, IMAGES = 8, 40
HOW = Recovery(images=32, compared=16)


class Adds(nn.Module):
    """A residual block whose branch gives so much of what it might."""

    def __init__(self, share: float, depth: int = 1) -> None:
        super().__init__()
        self.share = share
        self.branch = nn.Sequential(*(nn.Conv2d(6, 6, 3, padding=1) for _ in range(depth)))

    def forward(self, maps: Tensor) -> Tensor:
        return maps + self.share * self.branch(maps).relu()


class Gate(nn.Module):
    """A gate that is open for every image, all but for this share."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share, self.layer = share, nn.Conv2d(6, 6, 1)

    def forward(self, maps: Tensor) -> Tensor:
        return maps * (1 - self.share * self.layer(maps.mean((2, 3), keepdim=True)).sigmoid())


class Mixes(nn.Module):
    """A residual block that the layer behind it can do in its place."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(6, 6, 1)

    def forward(self, maps: Tensor) -> Tensor:
        return maps + 3 * self.layer(maps)


class GatedAdds(nn.Module):
    """A residual block of two layers, between which lies a gate of one."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.gate, self.last = nn.Conv2d(6, 6, 1), Gate(0.5), nn.Conv2d(6, 6, 1)

    def forward(self, maps: Tensor) -> Tensor:
        return maps + self.last(self.gate(self.first(maps)).relu())


def of_blocks(*blocks: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    before, behind = (nn.Conv2d(3, 6, 3), nn.ReLU()), (nn.Conv2d(6, 6, 3), nn.Flatten(), nn.Linear(96, 3))
    return nn.Sequential(*before, *blocks, *behind).eval()


def network() -> nn.Module:
    """Its block 3 is worth much; block 2 and gate 4 next to nothing, and block 2 saves three layers."""
    torch.manual_seed(0)
    blocks = (Adds(0.01, depth=3), Adds(3.0), Gate(0.01))
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(), *blocks, nn.Conv2d(6, 6, 3), nn.Flatten(), nn.Linear(96, 3)
    ).eval()


def samples(split: str) -> Samples:
    labels = np.arange(IMAGES, dtype=np.int64) % 3
    images = np.random.default_rng(len(split)).integers(0, 255, (IMAGES, SIZE, SIZE, 3), dtype=np.uint8)
    read = lambda indices, _: images[np.asarray(indices)]  # noqa: E731
    return Samples("d", split, labels, ("a", "b", "c"), (0.5,) * 3, (0.5,) * 3, "d" * 64, read)


def job(folder: Path, **changes: Any) -> Any:
    pruning = changes.pop("pruning", Pruning((Ranking("fisher"),), recovery=HOW, blocks=True))
    given = {
        "model": network(),
        "key": {"model": "tiny"},
        "recipe": Recipe(pruning),
        "input_size": SIZE,
        "example": torch.zeros(1, 3, SIZE, SIZE),
        "calibration": samples("calibration"),
        "selection": samples("selection"),
        "filters": 42,
        "device": "here",
        "is_timed": True,
        "latencies_ms": lambda files: [1e-3 * file.stat().st_size for file in files],
        "store": Store(folder / "store"),
        "track": lambda *_: nullcontext(lambda _: None),
        "warn": print,
    }
    return SimpleNamespace(**given | changes)


class Judging(Candidates):
    """Candidates that lose so many images for each block that is gone, of 40."""

    lost = 1

    @property
    def trained_on_selection(self) -> Accuracy:
        return judged(0)

    def validated(self, candidate: Candidate, bound: Bound | None = None) -> Accuracy | None:
        found = judged(self.lost * len(candidate.replaced))
        return found if bound is None or found.correct >= bound.floor else None


def judged(lost: int) -> Accuracy:
    # Class 0 comes first where the image is right.
    logits = np.eye(3)[(np.arange(IMAGES) + (np.arange(IMAGES) < lost)) % 3]
    return Accuracy.of(samples("selection"), logits)


def drafted(folder: Path, delta_max_pp: float, **changes: Any) -> Draft:
    candidates = Judging(job(folder, **changes))
    return Draft(candidates, [candidates.without({})], bound=Bound(judged(0), delta_max_pp, None))


def names(ranked: tuple[Simplified, ...]) -> list[str]:
    return [one.block.name for one in ranked]


def test_what_costs_least_for_what_it_saves_goes_first(tmp_path: Path) -> None:
    ranked = simplify.ranked(Candidates(job(tmp_path)))
    assert names(ranked)[-1] == "3" and set(names(ranked)) == {"2", "3", "4"}
    rates = [one.divergence / one.saved_us for one in ranked]
    assert rates == sorted(rates)
    by_name = {one.block.name: one for one in ranked}
    assert by_name["2"].saved_us == pytest.approx(3 * by_name["3"].saved_us), "three layers, and one"


def test_blocks_whose_absence_a_fit_makes_up_for_go_first(tmp_path: Path) -> None:
    ranked = simplify.ranked(Candidates(job(tmp_path, model=of_blocks(Adds(3.0), Mixes()))))
    # Before any fit the absence of the second costs four times as much as that of the first.
    assert names(ranked) == ["3", "2"] and ranked[0].divergence < 0.1 * ranked[1].divergence


def test_a_gate_within_a_residual_block_is_priced_once(tmp_path: Path) -> None:
    model = of_blocks(GatedAdds(), Adds(1.0), Gate(0.5))
    # As it is, without both gates, of one layer each, and without the three other layers of both residual blocks.
    timed = lambda files: [10.0, 8.0, 2.0]  # noqa: E731
    ranked = simplify.ranked(Candidates(job(tmp_path, model=model, latencies_ms=timed)))
    saved_us = {one.block.name: one.saved_us for one in ranked}
    assert saved_us == pytest.approx({"2.gate": 1000, "4": 1000, "3": 2000, "2": 5000})


@pytest.mark.parametrize("quantization", [None, Quantization()])
def test_blocks_are_timed_in_the_precision_that_is_shipped(quantization: Quantization | None, tmp_path: Path) -> None:
    quantised = list[bool]()

    def timed(files: list[Path]) -> list[float]:
        operators = [{node.op_type for node in onnx.load(file).graph.node} for file in files]
        quantised.extend("QuantizeLinear" in of_file for of_file in operators)
        return [3.0, 2.0, 1.0]

    recipe = Recipe(Pruning((Ranking("fisher"),), recovery=HOW, blocks=True), quantization)
    candidates = Candidates(job(tmp_path, recipe=recipe, policy=Policy(), latencies_ms=timed))
    simplify.ranked(candidates)
    assert quantised == 3 * [quantization is not None]
    assert {cost.step for cost in candidates.ledger.costs} == {"blocks"}, "what is made to be timed is entered there"


# Half of Δmax is what blocks may lose: of 40 images one is 2.5 points.
@pytest.mark.parametrize(("delta_max_pp", "gone"), [(4.9, 0), (5.0, 1), (10.0, 2), (15.0, 3), (100.0, 3)])
def test_as_many_blocks_go_as_the_share_of_the_bound_allows(delta_max_pp: float, gone: int, tmp_path: Path) -> None:
    draft = drafted(tmp_path, delta_max_pp)
    path = simplify.path(draft)
    order = names(draft.ranked_blocks)
    expected = [set(order[:count]) for count in range(gone + 1)] if gone else []
    assert [{block.name for block in candidate.replaced} for candidate in path] == expected


def test_layers_that_are_kept_keep_their_block(tmp_path: Path) -> None:
    kept = Pruning((Ranking("fisher"),), recovery=HOW, blocks=True, keep=("2.branch.1",))
    assert set(names(simplify.ranked(Candidates(job(tmp_path, pruning=kept))))) == {"3", "4"}
    wrong = Pruning((Ranking("fisher"),), recovery=HOW, blocks=True, keep=("nine.*",))
    with pytest.raises(HqpError, match="nine"):
        simplify.ranked(Candidates(job(tmp_path, pruning=wrong)))


def test_a_block_goes_only_where_all_filters_of_its_layers_may(tmp_path: Path) -> None:
    limited = Pruning((Ranking("fisher"),), recovery=HOW, blocks=True, at_most={"2.branch.1": 0.9, "3.*": 1.0})
    assert set(names(simplify.ranked(Candidates(job(tmp_path, pruning=limited))))) == {"3", "4"}
    wrong = Pruning((Ranking("fisher"),), recovery=HOW, blocks=True, at_most={"nine.*": 0.5})
    with pytest.raises(HqpError, match="layer of a policy 'nine"):
        pipeline.judge_dense(drafted(tmp_path, 5.0, pruning=wrong))


@pytest.mark.parametrize("change", [{"is_timed": False}, {"pruning": Pruning((Ranking("fisher"),), recovery=HOW)}])
def test_without_a_device_or_the_recipes_word_no_block_goes(change: dict[str, Any], tmp_path: Path) -> None:
    assert simplify.path(drafted(tmp_path, 100.0, **change)) == []


class Asked(Judging):
    """Notes which candidates are judged; behind blocks so many of the trained model's channels may go."""

    def __init__(self, job: Any, may_go: int) -> None:
        super().__init__(job)
        self.asked: list[tuple[int, int]] = []
        self.may_go = may_go

    def validated(self, candidate: Candidate, bound: Bound | None = None) -> Accuracy | None:
        channels = sum(len(gone) for _, gone in candidate.gone)
        self.asked.append((len(candidate.replaced), channels))
        beyond = channels > (self.may_go if candidate.replaced else 3)
        return None if beyond else super().validated(candidate, bound)


@pytest.mark.parametrize("may_go", [2, 0])
def test_the_network_with_all_blocks_is_searched_only_where_behind_blocks_no_channel_can_go(
    may_go: int, tmp_path: Path
) -> None:
    scored = {
        "scores": {Ranking("fisher"): lambda group, statistics: np.arange(group.channels, dtype=float)},
        "needs": frozenset(),
        "policy": Policy(),
        "delta_max_pp": 10.0,
        "pruning": Pruning((Ranking("fisher"),), recovery=HOW, blocks=True, confidence=None),
    }
    candidates = Asked(job(tmp_path, **scored), may_go)
    draft = Draft(candidates, [candidates.without({})])
    pipeline.prune_under_bound(draft)
    channels_alone = [asked for asked in candidates.asked if asked[0] == 0 and asked[1]]
    final = draft.by_step[draft.accepted]
    assert (bool(channels_alone), len(final.replaced)) == (may_go == 0, 2)
    assert sum(len(gone) for _, gone in final.gone) == may_go


def test_filters_of_a_block_that_is_gone_count_as_removed_and_its_groups_are_no_more(tmp_path: Path) -> None:
    candidates = Candidates(job(tmp_path))
    block = Replaced("2", "residual", 6)
    simpler = candidates.without({}, replaced=(block,))
    assert candidates.filters_removed(simpler) == 18
    members = {member.layer for group in candidates.groups(simpler) for member in group.members}
    assert members and not any(layer.startswith("2.") for layer in members)
    group = next(group for group in candidates.groups(simpler) if group.channels > 1)
    smaller = candidates.without({group.name: (0, 1)}, replaced=(block,))
    more = sum(group.filters(channel) for channel in (0, 1))
    assert candidates.filters_removed(smaller) == 18 + more
    assert candidates.key(simpler) != candidates.key(TRAINED) and candidates.recovered(smaller) is not None


def test_behind_blocks_layers_and_gates_are_fitted_to_what_the_trained_network_gives(tmp_path: Path) -> None:
    given = job(tmp_path)
    found = Candidates(given).reference(HOW, (Replaced("3", "residual", 6), Replaced("4", "gate", 6)))
    ((_, batch),) = calibration_batches(given, HOW.images)
    images, sampled = torch.from_numpy(batch), refitting.sampled(given.model, given.example, HOW.images)
    wanted = refitting.wanted(given.model, (Replaced("4", "gate", 6),), [images], sampled.positions)
    assert found.outputs.keys() == wanted.keys() - {"3.branch.0", "4.layer"}
    for name, outputs in found.outputs.items():
        torch.testing.assert_close(outputs, wanted[name])
    with torch.no_grad():
        torch.testing.assert_close(found.logits, given.model(images[: HOW.compared]))


def test_a_simplified_network_is_made_once_and_found_again(tmp_path: Path) -> None:
    blocks = (Replaced("2", "residual", 6), Replaced("4", "gate", 6))
    first = Candidates(job(tmp_path))
    made = first.module(first.without({}, replaced=blocks))
    again = Candidates(job(tmp_path))
    found = again.module(again.without({}, replaced=blocks))
    image = torch.rand(2, 3, SIZE, SIZE)
    with torch.no_grad():
        assert torch.equal(made(image), found(image))
        torch.testing.assert_close(made(image), network()(image), atol=0.02, rtol=0.02)
    assert (
        [cost.step for cost in first.ledger.costs] == [cost.step for cost in again.ledger.costs] == ["simplification"]
    )
