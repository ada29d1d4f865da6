"""What a device wants of INT8 here: narrow weights where, and only where, this processor's kernels would saturate."""

from __future__ import annotations

from pathlib import Path

import pytest

from hqp.records import Environment
from hqp.run.context import Context, device_of
from hqp.store import Store


@pytest.mark.parametrize(
    ("instructions", "bits"),
    [
        ("avx2", 7),
        ("avx2 avx512f", 7),
        ("avx2 avx512_vnni avx512f", 8),
        ("avx2 avx_vnni", 8),
        ("asimd asimddp", 8),
        ("", 8),
    ],
)
@pytest.mark.parametrize("device", ["cpu_onnxruntime", "cpu_openvino"])
def test_weights_are_narrow_where_kernels_would_saturate(
    tmp_path: Path, device: str, instructions: str, bits: int
) -> None:
    facts = {"instructions": instructions} if instructions else {}
    context = Context(Store(tmp_path), _environments={device: Environment(facts)})
    policy, declared = context.policy(device), device_of(device).policy
    assert policy.weight_bits == bits and declared.weight_bits == 8
    assert (policy.activations, policy.float_results) == (declared.activations, declared.float_results)
