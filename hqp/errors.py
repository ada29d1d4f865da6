"""Every error that HQP raises on purpose."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from difflib import get_close_matches

# Of names, so that a message stays a line or two: libraries have hundreds of models.
MOST_LISTED = 24


def command(*words: object) -> str:
    """A command line to be typed: names and paths are quoted for a shell."""
    return shlex.join(map(str, words))


class HqpError(Exception):
    """A mistake that the user can mend: what is wrong, what would be right, and what to type.

    It prints as one line. The command line ends with exit code 2; in a suite the test errors.
    """

    def __init__(self, wrong: str, right: str = "", fix: str = "") -> None:
        self.wrong, self.right, self.fix = wrong, right, fix
        super().__init__(wrong, right, fix)

    def __str__(self) -> str:
        parts = [self.wrong, self.right, f"try: {self.fix}" if self.fix else ""]
        return "; ".join(" ".join(part.split()) for part in parts if part)


class UnknownName(HqpError):
    """A name that nothing answers to; the message lists the nearest ones, or all of a few where none is near."""

    def __init__(self, kind: str, name: str, known: Iterable[str], fix: str = "hqp list") -> None:
        super().__init__(f"unknown {kind} '{name}'", _known(name, sorted(known)), fix)


def _known(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, n=3, cutoff=0.5)
    if near:
        return f"did you mean {' or '.join(near)}?"
    if len(known) <= MOST_LISTED:
        return f"there are: {', '.join(known) or 'none'}"
    nearest = get_close_matches(name, known, n=3, cutoff=0.0)
    return f"there are {len(known):,}; the nearest: {', '.join(nearest)}"


class NotInstalled(HqpError):
    """A plug-in needs packages that this environment does not have; ``extra`` of HQP brings them, where one does."""

    def __init__(self, what: str, packages: Iterable[str], extra: str | None) -> None:
        wanted = f"'hqp[{extra}]'" if extra else " ".join(packages)
        super().__init__(f"{what} needs {', '.join(packages)}, not installed here", fix=f"pip install {wanted}")


class Damaged(HqpError):
    """A file that is cut off, of another schema, or holds what it must not."""


class Unreadable(HqpError):
    """An image that cannot be decoded; ``name`` is its file."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        super().__init__(
            f"{name} cannot be read as an image ({reason})", "mend it, or let some be left out", "--skip-unreadable 1"
        )


class Incomparable(HqpError):
    """Numbers of two environments, which are never compared; the message lists the keys that differ."""


class NotApplicable(HqpError):
    """A gate has nothing to judge here, a declared case that shows as a skip with its reason."""
