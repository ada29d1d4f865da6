"""The plug-ins of one run: the catalogue is asked once for each name."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from hqp import catalog, transport
from hqp.errors import HqpError
from hqp.measure import environment
from hqp.records import Device
from hqp.runtimes import LocalSession

# Names the host of a board: `user@nano`. What cannot be driven from here, a processor that judges files, stays here.
HOST_VARIABLE = "HQP_HOST"


class Plugins:
    """What names stand for; whoever shares it with another shares what was asked."""

    def __init__(self) -> None:
        self._loaded: dict[tuple[str, str], Any] = {}

    def load(self, kind: str, name: str) -> Any:
        """A plug-in ready for use; see ``catalog.load``, which says what it refuses."""
        if (kind, name) not in self._loaded:
            self._loaded[kind, name] = catalog.load(kind, name)
        return self._loaded[kind, name]

    def device(self, name: str) -> Device:
        """The declaration of a device by name: on the host that ``HQP_HOST`` names, if it can be driven from here.

        It has those precisions that the processor there has.
        """
        plugin = self.load("devices", name)
        device: Device = plugin.device
        host, runtime = os.environ.get(HOST_VARIABLE, ""), getattr(plugin, "elsewhere", None)
        if host and runtime:
            device = replace(device, host=host, runtime=runtime)
        if not device.needs:
            return device
        return device.with_instructions(environment.instructions(transport.host(device.host)))

    def judge(self, name: str) -> str:
        """The name of the device that judges accuracy while an artefact is made for another: itself, or its stand-in.

        A stand-in runs the very file that is shipped. Its arithmetic is the device's up to rounding, its times are not.
        """
        return self.device(name).stand_in or name

    def runtime(self, device: Device) -> Any:
        """The runtime of a device.

        Raises:
            HqpError: it runs in this process, and the device is on another host.
        """
        runtime = self.load("runtimes", device.runtime)
        if device.host and runs_here(runtime):
            wrong = f"runtime '{device.runtime}' runs here, and the device is on {device.host}"
            raise HqpError(wrong, "a runtime that runs there, or HQP on that machine")
        return runtime


def runs_here(runtime: Any) -> bool:
    """Whether a runtime runs in the process that opens its sessions."""
    return issubclass(runtime.Session, LocalSession)
