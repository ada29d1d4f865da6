"""Signs that an output's encoding lacks, spelt with letters that every encoding has: θ becomes theta."""

from __future__ import annotations

import codecs

# What HQP's own tables and messages hold beyond ASCII. Signs in columns become one letter, so that they stay in line.
SPELT = {
    "θ": "theta", "Δ": "delta ", "δ": "delta", "α": "alpha", "γ": "gamma", "σ": "sigma", "ρ": "rho",
    "✓": "+", "✗": "x", "–": "-", "—": "-", "−": "-", "×": "x", "·": "*", "²": "^2", "±": "+/-", "≤": "<=", "≥": ">=",
    "≈": "~", "…": "...", "°": " deg ", "µ": "u", "→": "->", "‖": "||",
}  # fmt: skip

HANDLER = "hqp.spelt"


def registered() -> str:
    """The name of the error handler that spells signs out, for ``str.encode`` and ``TextIOWrapper.reconfigure``."""
    codecs.register_error(HANDLER, _spelt)
    return HANDLER


def legible(text: str, encoding: str) -> str:
    """The text with what ``encoding`` lacks spelt out."""
    return text.encode(encoding, registered()).decode(encoding)


def _spelt(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    sign = error.object[error.start]
    if sign in SPELT:
        return SPELT[sign], error.start + 1
    one = UnicodeEncodeError(error.encoding, error.object, error.start, error.start + 1, error.reason)
    escaped, end = codecs.backslashreplace_errors(one)
    return str(escaped), end
