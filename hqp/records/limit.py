"""The range that a number in a suite must lie in."""

from __future__ import annotations

from dataclasses import dataclass

from hqp.errors import HqpError


@dataclass(frozen=True)
class Limit:
    """The range of a number, both ends included, and why nothing beyond it makes sense.

    A ``whole`` number takes no fraction.
    """

    low: float
    high: float
    why: str
    whole: bool = False

    def require(self, name: str, value: object) -> None:
        """Refuses what is no number in the range; ``name`` says in the message whose it is.

        Raises:
            HqpError: it is something else, such as text, NaN, True or a number beyond the range.
        """
        kinds = (int,) if self.whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds) or not self.low <= value <= self.high:
            kind = "a whole number" if self.whole else "a number"
            raise HqpError(f"{name} is {value!r}", f"{kind} from {_text(self.low)} to {_text(self.high)}: {self.why}")


def _text(value: float) -> str:
    return f"{value:,}" if value == int(value) else f"{value:g}"
