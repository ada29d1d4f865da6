"""What the command line's options are called in a suite's file, so that a suite's errors say what to write there."""

from __future__ import annotations

import re

from hqp.errors import HqpError

# How a suite says what an option says: a name that takes its value, in a tuple or in a model where it stands there.
PLAIN = {
    "delta-max": "delta_max_pp", "alpha": "alpha", "dataset": "dataset", "input-size": "input_size", "mean": "mean",
    "std": "std", "seed": "seed", "skip-unreadable": "skip_unreadable", "expect-top1": "expect_top1", "crop": "crop",
    "interpolation": "interpolation", "resize": "resize",
}  # fmt: skip
IN_TUPLES = {"device": "devices", "method": "methods", "keep": "keep"}
IN_MODELS = {"weights": "weights", "num-classes": "num_classes"}
PRETRAINED = "pretrained"
FIELDS = PLAIN | IN_TUPLES | IN_MODELS
TEXTS = (*IN_TUPLES, "weights", "dataset", "interpolation", "resize")

# An option and its values: numbers, a quoted text, a placeholder such as FILE or FILE:entry, or a last word.
OPTION = re.compile(r"--([a-z][a-z0-9-]*)((?:[ =](?:[\d.,]+|'[^']+'|[A-Z]+(?::\w+)?\b|[\w:]+(?=$|[,;)])))*)")
# What follows is a command to type, whose options are its own.
COMMAND = re.compile(r"\b(hqp|pytest|git|pip|nox) ")


def told(error: HqpError) -> str:
    """An error as a suite's author reads it: ``--weights FILE`` is ``Model(…, weights="FILE")`` in a suite."""
    return str(HqpError(*(_translated(part) for part in (error.wrong, error.right, error.fix))))


def _translated(text: str) -> str:
    command = COMMAND.search(text)
    end = command.start() if command else len(text)
    return OPTION.sub(_field, text[:end]) + text[end:]


def _field(option: re.Match[str]) -> str:
    name, values = option[1], option[2]
    if name == PRETRAINED:
        return f"Model(…, pretrained=True){values}"
    if name not in FIELDS:
        return option[0]
    words = [word.strip("'") for word in re.split("[ =,]", values) if word]
    if not words:
        return FIELDS[name]
    literals = [f'"{word}"' if name in TEXTS and not word.isdigit() else word for word in words]
    value = literals[0] if len(literals) == 1 else f"({', '.join(literals)})"
    said = f"{FIELDS[name]}=({value},)" if name in IN_TUPLES else f"{FIELDS[name]}={value}"
    return f"Model(…, {said})" if name in IN_MODELS else said
