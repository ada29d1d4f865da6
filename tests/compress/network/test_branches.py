"""What a trace would settle for all images is found where the network's code looks at one, and nowhere else."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor, nn

from hqp.compress.exporting.export import export
from hqp.compress.network.branches import on_image
from hqp.errors import HqpError

torch.set_num_threads(1)

IMAGE = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stem(self.prepared(x)).mean((2, 3)))

    def prepared(self, x: Tensor) -> Tensor:
        return x


class Inverted(Network):
    def prepared(self, x: Tensor) -> Tensor:
        if x.mean() > 0.5:
            x = -x
        return x


class Scaled(Network):
    def prepared(self, x: Tensor) -> Tensor:
        return x / float(x.max())


class Shifted(Network):
    def prepared(self, x: Tensor) -> Tensor:
        return x[..., : 4 + int(x.argmax() > 5)]


class Copied(Network):
    def prepared(self, x: Tensor) -> Tensor:
        held = torch.zeros(1, 4, 8, 8)
        held[:, :3] = x
        return -x if held.sum() > 0 else x


class Listed(Network):
    def prepared(self, x: Tensor) -> Tensor:
        return x * sum(x.mean((0, 2, 3)).tolist())


class Arrayed(Network):
    def prepared(self, x: Tensor) -> Tensor:
        return x * torch.from_numpy(x.numpy() + 1)


class Alike(Network):
    def prepared(self, x: Tensor) -> Tensor:
        return -x if torch.equal(x, x.abs()) else x


@pytest.mark.parametrize(
    ("network", "code"),
    [
        (Inverted, "if x.mean() > 0.5:"),
        (Scaled, "return x / float(x.max())"),
        (Shifted, "return x[..., : 4 + int(x.argmax() > 5)]"),
        (Copied, "return -x if held.sum() > 0 else x"),
        (Listed, "return x * sum(x.mean((0, 2, 3)).tolist())"),
        (Arrayed, "return x * torch.from_numpy(x.numpy() + 1)"),
        (Alike, "return -x if torch.equal(x, x.abs()) else x"),
    ],
)
def test_the_line_that_looks_at_the_image_is_named(network: type[nn.Module], code: str) -> None:
    (line,) = on_image(network().eval(), IMAGE)
    assert re.fullmatch(rf"test_branches\.py:\d+: {re.escape(code)}", line)


class Careful(Network):
    """Asks for shapes, for weights and for what must be so, and writes into memory that held the image."""

    def prepared(self, x: Tensor) -> Tensor:
        assert torch.isfinite(x).all()
        torch._assert(x.abs().max() < 1e6, "too large")
        batch, _, height, width = x.shape
        if height % 2 or x.numel() > 10**6 or len(x) != batch:
            x = x[..., 1:, 1:]
        if self.scale > 0 and self.scale.sum().item() < 2:
            x = x.reshape(batch, -1).view(batch, 3, height, width)
        for row in x.unbind(2):
            if row.shape[-1] == 0:
                return row
        steps = torch.linspace(-1, 1, width)
        return x * (steps if steps[0] < 0 else -steps)


def test_shapes_weights_and_assertions_are_no_branches_on_the_image() -> None:
    assert on_image(Careful(), IMAGE) == ()


@pytest.mark.parametrize(
    ("build", "size"),
    [
        (torchvision.models.shufflenet_v2_x0_5, 32),
        (torchvision.models.mobilenet_v3_small, 32),
        (torchvision.models.swin_t, 32),
        (lambda: torchvision.models.googlenet(init_weights=False, aux_logits=False), 64),
    ],
    ids=["shufflenet", "mobilenet", "swin", "googlenet"],
)
def test_networks_that_are_sound_are_taken(build: Callable[[], nn.Module], size: int) -> None:
    assert on_image(build(), torch.zeros(1, 3, size, size)) == ()


def test_the_export_refuses_a_branch_that_none_of_the_images_takes(tmp_path: Path) -> None:
    with pytest.raises(HqpError, match=r"the values of the image at test_branches\.py:\d+: if x\.mean\(\) > 0\.5:;"):
        export(Inverted(), 8, tmp_path / "model.onnx", np.zeros((2, 3, 8, 8), np.float32))
    assert not list(tmp_path.iterdir())


def test_the_mode_of_each_module_is_restored() -> None:
    network = Careful().train()
    network.stem.eval()
    on_image(network, IMAGE)
    assert (network.training, network.stem.training, network.head.training) == (True, False, True)
