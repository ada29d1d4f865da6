"""What the probes measure of a file on a device; those that need a fresh process get one.

``python -m hqp.run.probe PROBE FILE DEVICE`` is that process, and prints the metrics as one JSON document. ``DEVICE``
is the record of a device as JSON, so that the process measures what was declared and no file of that name.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from hqp import catalog, documents, transport
from hqp.errors import HqpError, NotInstalled
from hqp.probes import Target
from hqp.records import Device, Metric
from hqp.run import limited
from hqp.run.context import Context
from hqp.run.plugins import Plugins, runs_here


def metrics(context: Context, device: str, file: Path) -> tuple[Metric, ...]:
    """What all probes measure of a file on a device, in the order of their names.

    Raises:
        HqpError: a fresh process failed, with its last line; or two probes measure the same.
    """
    measured: list[Metric] = []
    prepared = context.prepared(file, device)
    for name in catalog.names("probes"):
        try:
            context.plugins.load("probes", name)
        except NotInstalled as absent:
            context.tell(device, f"not measured: {absent}")
            continue
        measured += measured_by(context.plugins, name, context.plugins.device(device), prepared)
    named = [" of ".join(filter(None, (metric.name, metric.of))) for metric in measured]
    twice = [name for name in named if named.count(name) > 1]
    if twice:
        raise HqpError(f"two probes measure '{twice[0]}'", "one probe for each metric")
    return tuple(measured)


def measured_by(plugins: Plugins, name: str, device: Device, file: Path) -> tuple[Metric, ...]:
    """What a probe measures of a file that is prepared for a device, in a fresh process where it wants one."""
    if not runs_here(plugins.runtime(device)):
        # A fresh process says nothing of an engine that runs in yet another one, or on another host.
        return measure(plugins, name, file, device)
    if not plugins.load("probes", name).fresh:
        doing = f"probe '{name}' of {file} on {device.runtime}"
        return limited.within(limited.limit_s(), doing, lambda: measure(plugins, name, file, device))
    words = [sys.executable, "-m", "hqp.run.probe", name, str(file), documents.to_json(device)]
    printed = transport.run(words, timeout_s=limited.limit_s()).stdout
    return documents.from_json(printed, tuple[Metric, ...], f"what probe '{name}' printed", fix="hqp doctor")


def measure(plugins: Plugins, name: str, file: Path, device: Device) -> tuple[Metric, ...]:
    """What a probe measures of a file on a device, in this process."""
    runtime, host = plugins.runtime(device), transport.host(device.host)
    target = Target(file, device, host, runtime, runs_here(runtime), lambda: runtime.Session(file, device))
    measured: tuple[Metric, ...] = plugins.load("probes", name).measure(target)
    return measured


def main(words: list[str] | None = None) -> int:
    """The command of the fresh process; 0, or 2 with the reason as one line on stderr."""
    parser = argparse.ArgumentParser(prog="hqp.run.probe", description="what a probe measures of a file on a device")
    parser.add_argument("probe")
    parser.add_argument("file", type=Path)
    parser.add_argument("device")
    given = parser.parse_args(words)
    try:
        device = documents.from_json(given.device, Device, "the device", fix="python -m hqp.run.probe --help")
        print(documents.list_to_json(measure(Plugins(), given.probe, given.file, device)))
    except HqpError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
