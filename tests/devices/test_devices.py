"""Every device declares what a measurement needs to know; a new device file is picked up by itself."""

from __future__ import annotations

import dataclasses

import pytest

from hqp import catalog
from hqp.errors import HqpError
from hqp.records import Device
from hqp.transport import HERE

NAMES = catalog.names("devices")


@pytest.mark.parametrize("name", NAMES)
def test_a_device_names_a_runtime_that_exists_and_declares_its_threads(name: str) -> None:
    device = catalog.find("devices", name).device
    assert isinstance(device, Device)
    assert device.runtime in catalog.names("runtimes")
    assert device.threads >= 1
    assert set(device.precisions) <= {"fp32", "fp16", "bf16", "int8"}
    assert "fp32" in device.precisions
    assert device.summary


@pytest.mark.parametrize("name", NAMES)
def test_a_device_is_frozen_and_its_facts_are_words(name: str) -> None:
    module = catalog.find("devices", name)
    with pytest.raises(dataclasses.FrozenInstanceError):
        module.device.threads = 8
    try:
        facts = module.facts(HERE)
    except HqpError as error:
        # A board's device is asked on that board; elsewhere it says what this machine is not.
        assert hasattr(module, "elsewhere")
        assert error.wrong.startswith("here is no ")
        return
    assert facts == module.facts(HERE)
    assert all(isinstance(word, str) and word for pair in facts.items() for word in pair)


def test_the_two_cpu_devices_differ_in_their_runtime_and_what_it_fuses_alone() -> None:
    openvino, onnxruntime = (catalog.find("devices", name).device for name in ("cpu_openvino", "cpu_onnxruntime"))
    assert openvino.policy.float_results and not onnxruntime.policy.float_results
    # BF16 is computed by OpenVINO alone.
    assert openvino.precisions == ("fp32", "bf16", "int8") and onnxruntime.precisions == ("fp32", "int8")
    differing = ("runtime", "summary", "policy", "precisions", "needs")
    same = dataclasses.replace(openvino, **{name: getattr(onnxruntime, name) for name in differing})
    assert same == onnxruntime
    assert dataclasses.replace(openvino.policy, float_results=False, channel_multiple=8) == onnxruntime.policy
    assert openvino.policy.channel_multiple == 16
    assert openvino.threads == 1
    assert openvino.policy.activations == "uint8"
