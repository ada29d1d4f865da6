"""What Linux tells in files, of the host that is asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from hqp.errors import HqpError
from hqp.measure import procfs
from hqp.transport import Completed, Unreachable


class Told:
    """A host that has these files, and knows no command."""

    name = "told"

    def __init__(self, **files: str) -> None:
        self.files = {f"/{path.replace('__', '/')}": text for path, text in files.items()}

    def read(self, path: str) -> str:
        if path not in self.files:
            raise HqpError(f"there is no file {path}")
        return self.files[path]

    def run(self, command: Sequence[str], *, timeout_s: float | None = None) -> Completed:
        raise HqpError(f"{command[0]} is not installed")

    def send(self, local: Path, remote: str) -> None: ...

    def fetch(self, remote: str, local: Path) -> None: ...


class Gone(Told):
    """A host that does not answer."""

    def read(self, path: str) -> str:
        raise Unreachable("told does not answer")

    def run(self, command: Sequence[str], *, timeout_s: float | None = None) -> Completed:
        raise Unreachable("told does not answer")


@pytest.mark.parametrize(("listed", "numbers"), [("0-3,6\n", (0, 1, 2, 3, 6)), ("2\n", (2,)), ("", ()), ("none\n", ())])
def test_the_cores_that_are_on(listed: str, numbers: tuple[int, ...]) -> None:
    assert procfs.cores(Told(sys__devices__system__cpu__online=listed)) == numbers  # type: ignore[arg-type]


def test_the_cores_that_a_process_may_run_on() -> None:
    status = "Name:\tcat\nCpus_allowed:\tf\nCpus_allowed_list:\t1,4-5\nMems_allowed_list:\t0\n"
    assert procfs.usable_cores(Told(proc__self__status=status)) == (1, 4, 5)  # type: ignore[arg-type]
    assert procfs.usable_cores(Told()) == ()  # type: ignore[arg-type]


def test_what_is_not_told_is_empty_but_a_host_that_is_gone_is_an_error() -> None:
    host = Told(proc__version="Linux\n")
    assert procfs.text(host, "/proc/version") == "Linux"  # type: ignore[arg-type]
    assert procfs.text(host, "/proc/uptime") == procfs.asked(host, "nvidia-smi") == ""  # type: ignore[arg-type]
    for ask in (procfs.text, procfs.asked):
        with pytest.raises(Unreachable):
            ask(Gone(), "/proc/version")  # type: ignore[arg-type]
