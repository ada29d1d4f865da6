from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hqp.probes import peak_memory

MIB = 2**20


def in_fresh_process(program: str) -> int:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_growth_is_that_of_opening_and_running_and_not_of_what_was_before() -> None:
    growth = in_fresh_process(
        "from contextlib import contextmanager\n"
        "from hqp.probes import peak_memory\n"
        "kept = bytearray(b'x') * (30 << 20)\n"
        "class Session:\n"
        "    def time(self, n): self.scratch = bytearray(b'x') * (50 << 20); return [1.0] * n\n"
        "@contextmanager\n"
        "def opener():\n"
        "    weights = bytearray(b'x') * (20 << 20)\n"
        "    yield Session()\n"
        "print(peak_memory.peak_bytes(opener))"
    )
    assert 69 * MIB < growth < 80 * MIB


def test_the_peak_is_not_inherited_from_the_process_that_started_this_one() -> None:
    big = bytearray(b"x") * (300 * MIB)
    peak = in_fresh_process("from hqp.probes import peak_memory; print(peak_memory.peak_rss_bytes())")
    assert len(big) > peak > MIB


def test_linux_tells_the_peak_in_kibibytes(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text("Name:\tpython\nVmPeak:\t  999999 kB\nVmHWM:\t  123456 kB\nVmRSS:\t  1000 kB\n")
    assert peak_memory.peak_rss_bytes(status) == 123456 * 1024


@pytest.mark.skipif(sys.platform == "win32", reason="getrusage is POSIX")
def test_without_that_line_the_peak_is_the_systems(tmp_path: Path) -> None:
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    status = tmp_path / "status"
    status.write_text("Name:\tpython\n")
    for absent in (status, tmp_path / "none"):
        assert peak_memory.peak_rss_bytes(absent) == peak * (1 if sys.platform == "darwin" else 1024)


def test_the_session_is_closed_and_ran_once() -> None:
    log: list[str] = []

    class Session:
        def time(self, iterations: int, /) -> list[float]:
            log.append(f"time {iterations}")
            return [1.0]

    @contextmanager
    def opener() -> Iterator[Session]:
        yield Session()
        log.append("closed")

    assert isinstance(peak_memory.peak_bytes(opener), int)
    assert log == ["time 1", "closed"]


def test_importing_it_needs_nothing_that_some_systems_lack() -> None:
    source = Path(peak_memory.__file__).read_text()
    assert not re.search(r"^import resource", source, re.MULTILINE)
