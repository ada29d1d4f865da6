"""What stands in for a block, and the layers behind it, give what the trained network gave, where that can be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch
from torch import Tensor, nn

from hqp.compress.blocks import refitting, standing_in
from hqp.compress.channels import recover
from hqp.compress.exporting import export
from hqp.errors import HqpError
from hqp.records import Replaced

IMAGES = torch.rand(64, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Constant(nn.Module):
    """A gate, or a branch, that has layers and gives the same for every image."""

    def __init__(self, channels: int, adds: bool) -> None:
        super().__init__()
        self.adds, self.layer = adds, nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.layer.weight)

    def forward(self, maps: Tensor) -> Tensor:
        value = self.layer(maps.mean((2, 3), keepdim=True))
        return maps + value if self.adds else maps * value


class Gate(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(4, 4, 1)

    def forward(self, maps: Tensor) -> Tensor:
        return maps * self.layer(maps.mean((2, 3), keepdim=True)).sigmoid()


class Adds(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, maps: Tensor) -> Tensor:
        return maps + 0.3 * self.branch(maps).relu()


def network(block: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    behind = (nn.Conv2d(4, 5, 1), nn.ReLU(), nn.Conv2d(5, 2, 3), nn.Flatten(), nn.Linear(32, 3))
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), block, *behind).eval()


def simplified(model: nn.Module, block: Replaced, images: Tensor = IMAGES) -> nn.Module:
    wanted = refitting.wanted(model, [block], images.split(16))
    simpler = standing_in.without(model, [block])
    refitting.refit(simpler, wanted, images, {})
    return simpler


def error(model: nn.Module, simpler: nn.Module, images: Tensor) -> float:
    with torch.no_grad():
        return float((model(images) - simpler(images)).square().mean())


@pytest.mark.parametrize(("adds", "kind"), [(False, "gate"), (True, "residual")])
def test_what_was_constant_anyway_is_gone_without_a_trace(adds: bool, kind: str) -> None:
    model = network(Constant(4, adds))
    simpler = simplified(model, Replaced("2", kind, 4))  # type: ignore[arg-type]
    assert "2.layer.weight" not in simpler.state_dict()
    new = torch.rand(8, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(simpler(new), model(new), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("block", "kind"), [(Gate, "gate"), (Adds, "residual")])
def test_the_layers_behind_make_up_for_a_block_on_images_that_they_were_not_fitted_to(
    block: Callable[[], nn.Module], kind: str
) -> None:
    torch.manual_seed(0)
    model, part = network(block()), Replaced("2", kind, 4)  # type: ignore[arg-type]
    new = torch.rand(64, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    unfitted = standing_in.without(model, [part])
    assert error(model, simplified(model, part), new) < 0.5 * error(model, unfitted, new)


def test_what_lies_before_the_block_and_the_trained_network_stay_as_they_are() -> None:
    model = network(Adds())
    before = {name: values.clone() for name, values in model.state_dict().items()}
    simpler = simplified(model, Replaced("2", "residual", 4))
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    assert torch.equal(simpler.state_dict()["0.weight"], before["0.weight"])
    assert not torch.equal(simpler.state_dict()["3.weight"], before["3.weight"])


def test_a_fit_that_helps_no_other_image_is_not_made() -> None:
    """Eight images, and 32 inputs to each filter of the last layer, whose targets are noise."""
    model, part = network(nn.Identity()), Replaced("2", "residual", 4)
    wanted = refitting.wanted(model, [part], [IMAGES[:8]])
    wanted["7"] = torch.randn(8, 3, generator=torch.Generator().manual_seed(2))
    simpler = standing_in.without(model, [part])
    refitting.refit(simpler, wanted, IMAGES[:8], {})
    # Its bias alone could still follow their mean.
    moved = (simpler.state_dict()["7.weight"] - model.state_dict()["7.weight"]).abs().max()
    assert moved < 0.1


@pytest.mark.parametrize("rows", [24, 60])
def test_a_layer_changes_as_the_normal_equations_say(rows: int) -> None:
    """24 rows are fewer than the 31 unknowns, 60 are more."""
    generator = torch.Generator().manual_seed(3)
    seen = torch.nn.functional.pad(1 + torch.randn(rows, 30, generator=generator), (0, 1), value=1.0)
    missing = 2 + seen @ torch.randn(31, 5, generator=generator)
    expected = recover.solved(seen.double().T @ seen.double(), seen.double().T @ missing.double(), refitting.RIDGE)
    found = refitting._change(seen, missing, images=12)
    assert found is not None
    torch.testing.assert_close(found, expected.float(), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("rows", [24, 60])
def test_what_a_fit_to_most_rows_leaves_of_the_others_is_what_decides(rows: int) -> None:
    """To 20 rows of 24, which are fewer than the 31 unknowns, and to 50 of 60; the dual takes the ridge of all rows."""
    generator = torch.Generator().manual_seed(4)
    seen = torch.nn.functional.pad(1 + torch.randn(rows, 30, generator=generator), (0, 1), value=1.0)
    missing = 2 + torch.randn(rows, 5, generator=generator)
    most = rows - rows // 6
    fitted, aim = seen[:most].double(), missing[:most].double()
    of_all = float(seen[:, :-1].square().sum() / fitted[:, :-1].square().sum())
    by_part, more = (refitting._by_rows, of_all) if rows == 24 else (refitting._by_weights, 1.0)
    change = recover.solved(fitted.T @ fitted, fitted.T @ aim, more * refitting.RIDGE)
    expected = missing[most:] - seen[most:] @ change.float()
    left, _ = by_part(seen, missing, most)
    torch.testing.assert_close(left, expected, atol=1e-4, rtol=1e-3)


def test_half_of_a_gram_matrix_is_all_of_it() -> None:
    rows = torch.randn(7, 2 * recover.GRAM_BLOCK + 3, generator=torch.Generator().manual_seed(4))
    torch.testing.assert_close(recover.gram(rows), rows.T @ rows)


def test_a_block_that_the_network_has_not_is_refused() -> None:
    with pytest.raises(HqpError, match=r"no block '9\.a'"):
        standing_in.without(network(Adds()), [Replaced("9.a", "gate", 4)])


def test_only_so_many_images_go_at_once_as_memory_is_meant_to_hold() -> None:
    model = nn.Sequential(nn.Conv2d(3, 100, 1), nn.Conv2d(100, 2, 1))
    # 100 maps of 1000 x 1000 in float32.
    assert refitting.sampled(model, torch.zeros(1, 3, 1000, 1000), 3) == refitting.Sampled(1, 48)
    assert refitting.sampled(model, torch.zeros(1, 3, 100, 100), 256) == refitting.Sampled(100, 40)
    assert refitting.sampled(model, torch.zeros(1, 3, 10, 10), 256) == refitting.Sampled(256, 16)


def test_a_gate_that_became_its_mean_is_no_operator_of_the_file(tmp_path: Path) -> None:
    simpler = simplified(network(Gate()), Replaced("2", "gate", 4))
    # The export compares the file with the module.
    export.export(simpler, 8, tmp_path / "model.onnx")
    nodes = [node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node]
    assert nodes == ["Conv", "Relu", "Conv", "Relu", "Conv", "Flatten", "Gemm"]
