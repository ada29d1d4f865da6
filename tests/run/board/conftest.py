"""A simulated board: an OpenSSH server of this user, and in its file tree a ``trtexec`` and what a Jetson tells.

Its numbers are simulated. The server is spoken to through a pipe, so that no port is taken and nothing waits for one.
"""

from __future__ import annotations

import getpass
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from hqp.transport import Completed, Here, run

HERE = Path(__file__).parent
NAME = "simulated-board"

SERVER = """\
HostKey {root}/ssh/host_key
AuthorizedKeysFile {root}/ssh/user_key.pub
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
ForceCommand {python} -I -S {here}/forced.py {root}
"""
CLIENT = """\
Host {name}
  ProxyCommand {server} -i -f {root}/ssh/server
  HostKeyAlias {name}
  User {user}
  IdentityFile {root}/ssh/user_key
  IdentitiesOnly yes
  UserKnownHostsFile {root}/ssh/known_hosts
Host unknown-key
  ProxyCommand {server} -i -f {root}/ssh/server
  User {user}
  IdentityFile {root}/ssh/user_key
  UserKnownHostsFile {root}/ssh/known_hosts
Host no-key
  ProxyCommand {server} -i -f {root}/ssh/server
  HostKeyAlias {name}
  User {user}
  IdentityFile {root}/ssh/host_key
  IdentitiesOnly yes
  UserKnownHostsFile {root}/ssh/known_hosts
Host silent
  ProxyCommand false
"""


@dataclass(frozen=True)
class Board:
    """A simulated board under ``root``; ``name`` is the destination that the SSH client knows."""

    root: Path
    name: str

    def clear(self) -> None:
        """Makes it a board that was just switched on, which the client knows by its host key."""
        for path in self.root.iterdir():
            if path.name not in ("ssh", "path"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        for folder in ("bin", "tmp"):
            (self.root / folder).mkdir()
        (self.root / "commands.txt").touch()
        (self.root / "proc").mkdir()
        (self.root / "proc" / "uptime").symlink_to("/proc/uptime")
        self.be_known_by("host_key")

    def be_known_by(self, key: str) -> None:
        """Has the client know the board by this key, and no other."""
        public = (self.root / "ssh" / f"{key}.pub").read_text()
        (self.root / "ssh" / "known_hosts").write_text(f"{self.name} {public}")

    def write(self, path: str, text: str) -> None:
        """Puts a file there."""
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def fail(self, fault: str) -> None:
        """From now on the board has this fault; none where it is empty."""
        self.write("/fault", fault)

    def install(self, version: str) -> None:
        """Puts the simulated trtexec of a TensorRT where JetPack has it."""
        self.write("/version", version)
        self.write(
            "/usr/src/tensorrt/bin/trtexec",
            f'#!/bin/sh\nBOARD={self.root} exec {sys.executable} -I -S {HERE}/trtexec.py "$@"\n',
        )
        (self.root / "usr/src/tensorrt/bin/trtexec").chmod(0o755)

    def be_a(self, compatible: str, release: str, gpu: str, modes: str = "0 MAXN, 1 5W") -> None:
        """Makes it a Jetson by its device tree, release and the name of its GPU's clock, as it is measured."""
        self.write("/proc/device-tree/compatible", compatible)
        self.write("/etc/nv_tegra_release", release)
        self.clock(gpu, 921_600_000, 921_600_000, 921_600_000)
        numbered = [mode.split() for mode in modes.split(", ")]
        lines = [f"NVPM VERB: POWER_MODEL: ID={number} NAME={name}" for number, name in numbered]
        self.write("/modes", "\n".join(lines))
        self.write("/mode", numbered[0][1])
        self.program("nvpmodel", 'if [ "$1" = -q ]; then echo "NV Power Mode: $(cat $R/mode)"; else cat $R/modes; fi')
        self.program("dpkg-query", 'printf "nvidia-l4t-core\\t32.7.1-2022\\ncuda-cudart-10-2\\t10.2.300-1\\n"; exit 1')

    def clock(self, gpu: str, now: int, least: int, most: int) -> None:
        """Sets the GPU's clock in Hz and its limits."""
        for name, value in (("cur", now), ("min", least), ("max", most)):
            self.write(f"/sys/class/devfreq/{gpu}/{name}_freq", f"{value}\n")

    def program(self, name: str, script: str) -> None:
        """Puts a shell script on its PATH; in it ``R`` is the board's file tree."""
        self.write(f"/bin/{name}", f"#!/bin/sh\nR={self.root}\n{script}\n")
        (self.root / "bin" / name).chmod(0o755)

    def left(self) -> list[str]:
        """What lies in its folder for temporary files."""
        return sorted(path.name for path in (self.root / "tmp").iterdir())

    def commands(self) -> list[str]:
        """The commands that it was given."""
        return (self.root / "commands.txt").read_text().splitlines()


@dataclass(frozen=True)
class Direct(Here):
    """The simulated board without the connection to it, which takes half a second a command."""

    root: Path
    name: str = NAME

    def run(self, command: Sequence[str], *, timeout_s: float | None = None) -> Completed:
        """A command that the board runs, as its server would have it."""
        given = f"SSH_ORIGINAL_COMMAND={shlex.join(command)}"
        return run(("env", given, sys.executable, "-I", "-S", f"{HERE}/forced.py", str(self.root)), timeout_s=timeout_s)

    def read(self, path: str) -> str:
        """A text file on the board."""
        return self.run(("cat", path)).stdout


@pytest.fixture
def direct(board: Board) -> Direct:
    """The simulated board as a host, without a connection."""
    return Direct(board.root)


@pytest.fixture(scope="session")
def standing_board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """A simulated board that the OpenSSH client finds by its name, as long as tests run."""
    server = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    client = shutil.which("ssh")
    if server is None or client is None:
        pytest.skip("needs an OpenSSH server (sshd) and client (ssh)")
    if os.geteuid() == 0:
        # Debian's start script makes it; without it a server of root ends at once.
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    root = tmp_path_factory.mktemp("board")
    for folder in ("ssh", "path"):
        (root / folder).mkdir()
    for key in ("host_key", "user_key", "other_key"):
        words = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", key, "-f", str(root / "ssh" / key))
        subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
    names = {"root": root, "here": HERE, "python": sys.executable, "server": server, "name": NAME}
    (root / "ssh" / "server").write_text(SERVER.format(**names))
    (root / "ssh" / "client").write_text(CLIENT.format(**names, user=getpass.getuser()))
    # The user's own configuration, which OpenSSH looks for in the home folder of the account, not in $HOME.
    wrapper = root / "path" / "ssh"
    wrapper.write_text(f'#!/bin/sh\nexec {client} -F {root}/ssh/client "$@"\n')
    wrapper.chmod(0o755)
    board = Board(root, NAME)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{wrapper.parent}:{os.environ['PATH']}")
        board.clear()
        words = ("ssh", "-o", "BatchMode=yes", NAME, "true")
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"no SSH server can be run here as this user: {done.stderr.strip()}")
        yield board


@pytest.fixture
def board(standing_board: Board) -> Board:
    """The simulated board, without faults and with nothing on it."""
    standing_board.clear()
    return standing_board
