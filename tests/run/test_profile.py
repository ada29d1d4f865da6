"""``hqp profile``: what each layer of a network costs and takes, from the store the second time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hqp.cli.profile import _text
from hqp.records import LayerProfile, NetworkProfile

PROFILE = ("-m", "hqp", "profile", "squarenet", "--dataset", "squares", "--device", "cpu_onnxruntime")


def test_each_layer_is_profiled_alone_and_kept(project: Path, run: Any) -> None:
    done = run(*PROFILE, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["model"], told["images"], told["share"], told["floats"]) == ("squarenet", 128, 0.25, "fp32")
    layers = {layer["layer"]: layer for layer in told["layers"]}
    assert list(layers) == ["0", "3.conv1", "3.conv2", "5.conv1", "5.conv2", "8"]
    assert min(layer["sensitivity"] for layer in layers.values()) > 0
    # Of so small a network an operator may take less than the profiler's microsecond.
    assert min(layer["int8_ms"] for layer in layers.values()) >= 0
    costs = [layer["quantised_nats"] for layer in layers.values()]
    assert 0 < min(costs) < max(costs) < 0.1, costs
    # The outputs of the last layer are the classes; those of a residual sum go together, and cost the same.
    assert layers["8"]["pruned_nats"] is None
    assert layers["0"]["pruned_nats"] == layers["3.conv2"]["pruned_nats"] == layers["5.conv2"]["pruned_nats"]
    assert layers["3.conv1"]["pruned_nats"] > layers["3.conv1"]["quantised_nats"]

    figure = project / "layers.svg"
    again = run(*PROFILE, "--out", str(figure))
    assert again.returncode == 0 and "each layer" not in again.stderr
    header, first, *_ = again.stdout.splitlines()
    assert header.split()[:3] == ["layer", "filters", "S"] and first.split()[:2] == ["0", "16"]
    drawn = figure.read_text()
    assert all(f">{layer}<" in drawn for layer in layers) and ">25% pruned<" in drawn

    wrong = run(*PROFILE, "--out", "layers.pdf")
    assert wrong.returncode == 2 and wrong.stdout == ""
    assert "'layers.pdf' says no form; a file that ends in .json, .svg, .png" in wrong.stderr


def test_a_table_fits_the_page_and_leaves_out_what_was_not_measured() -> None:
    layer = LayerProfile("backbone.stages.3.blocks.11.attention.projection.conv", 1280, None, 1.5e-4, None, None, 0.002)
    text = _text(NetworkProfile(1, "net", "signs", "cpu_openvino", 96, 128, 0.25, "bf16", (layer,)))
    assert max(map(len, text.splitlines())) <= 100
    header, row = text.splitlines()[:2]
    assert header.split() == ["layer", "filters", "S", "INT8", "nats", "pruned", "nats", "INT8", "us", "BF16", "us"]
    assert row.startswith("…") and row.split()[1:] == ["1,280", "-", "0.00015", "-", "-", "2.0"]
