"""What the simulated board's SSH server runs in place of each command: the command, in a file tree of its own.

``forced.py ROOT``: the command stands in ``SSH_ORIGINAL_COMMAND``. Words of it that name a place under /proc, /sys,
/etc, /tmp and such are moved below ROOT, programs are looked for in ROOT/bin first, and ROOT is taken out of what they
print.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

MOVED = re.compile(r"(?<![\w/])/(?=(?:proc|sys|etc|tmp|usr/src|usr/local)\b)")


def main(root: Path) -> int:
    words = shlex.split(os.environ["SSH_ORIGINAL_COMMAND"])
    with (root / "commands.txt").open("a") as log:
        log.write(shlex.join(words) + "\n")
    fault = (root / "fault").read_text() if (root / "fault").exists() else ""
    if fault == "dropped" or (fault == "dropped-once" and not (root / "dropped").exists()):
        (root / "dropped").touch()
        # The server's process of this connection: to the client, the line goes dead.
        os.kill(os.getppid(), signal.SIGKILL)
    moved = [MOVED.sub(f"{root}/", word) for word in words]
    if fault == "disk-full":
        moved = ["of=/dev/full" if word.startswith("of=") else word for word in moved]
    environment = {**os.environ, "PATH": f"{root}/bin:{os.environ['PATH']}", "BOARD": str(root)}
    try:
        done = subprocess.run(moved, env=environment, capture_output=True, check=False)
    except FileNotFoundError:
        print(f"sh: {moved[0]}: not found", file=sys.stderr)
        return 127
    for stream, content in ((sys.stdout, done.stdout), (sys.stderr, done.stderr)):
        stream.buffer.write(content.replace(str(root).encode(), b""))
        stream.flush()
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
