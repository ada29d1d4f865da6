"""Peak memory of a file in a runtime, taken in a fresh process.

``python -m hqp.run.probe MODEL DEVICE`` prints one JSON document, ``{"peak_memory_bytes": …}``. ``DEVICE`` is the
record of a device as JSON, so that the process measures what was declared and no file of that name.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from hqp import catalog, documents, transport
from hqp.errors import HqpError
from hqp.measure import memory
from hqp.records import Device

KEY = "peak_memory_bytes"

# Opening and one inference take seconds even on a small board; beyond this something hangs.
LIMIT_S = 300.0


def peak_memory_bytes(device: Device, model: Path) -> int:
    """By how many bytes a fresh process grew, at its highest, to open a file on a device and run it once.

    Raises:
        HqpError: the process failed; with its last line.
    """
    words = [sys.executable, "-m", "hqp.run.probe", str(model), documents.to_json(device)]
    return int(json.loads(transport.run(words, timeout_s=LIMIT_S).stdout)[KEY])


def measure(model: Path, device: Device) -> int:
    """The growth of this process, in bytes, which must be fresh."""
    runtime = catalog.load("runtimes", device.runtime)
    # It imports the engine, whose own code is no part of the model's memory.
    runtime.version(transport.HERE)
    return memory.peak_bytes(lambda: runtime.Session(model, device))


def main(words: list[str] | None = None) -> int:
    """The command of the fresh process; 0, or 2 with the reason as one line on stderr."""
    parser = argparse.ArgumentParser(prog="hqp.run.probe", description="peak memory of a file in a runtime, in bytes")
    parser.add_argument("model", type=Path)
    parser.add_argument("device")
    given = parser.parse_args(words)
    try:
        device = documents.from_json(given.device, Device, "the device", fix="python -m hqp.run.probe MODEL DEVICE")
        print(json.dumps({KEY: measure(given.model, device)}))
    except HqpError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
