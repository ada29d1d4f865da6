"""Peak memory of a file in a runtime, taken in a fresh process.

``python -m hqp.run.probe RUNTIME MODEL --threads N`` prints one JSON document, ``{"peak_memory_bytes": …}``.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from hqp import catalog, transport
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
    words = [sys.executable, "-m", "hqp.run.probe", device.runtime, str(model), "--threads", str(device.threads)]
    return int(json.loads(transport.run(words, timeout_s=LIMIT_S).stdout)[KEY])


def measure(runtime: str, model: Path, threads: int) -> int:
    """The growth of this process, in bytes, which must be fresh."""
    plugin = catalog.load("runtimes", runtime)
    plugin.version()  # imports the engine, whose own code is no part of the model's memory
    return memory.peak_bytes(lambda: plugin.Session(model, threads=threads))


def main(words: list[str] | None = None) -> int:
    """The command of the fresh process; 0, or 2 with the reason as one line on stderr."""
    parser = argparse.ArgumentParser(prog="hqp.run.probe", description="peak memory of a file in a runtime, in bytes")
    parser.add_argument("runtime")
    parser.add_argument("model", type=Path)
    parser.add_argument("--threads", type=int, required=True)
    given = parser.parse_args(words)
    try:
        print(json.dumps({KEY: measure(given.runtime, given.model, given.threads)}))
    except HqpError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
