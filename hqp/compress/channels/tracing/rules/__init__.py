"""Rules: what operations of torch do to channels, one file for a family of them.

A rule is a function of an operation and the labels, marked with the names of the operations that it follows:

    @follows("relu6", tag=torch.Tag.pointwise)
    def joined(operation: Operation, labels: Labels) -> None:

A file dropped into this folder is found by itself. What has no rule is held in place.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Iterator

from hqp.compress.channels.tracing.operation import Follow, Operation, Rule, hold


def rule_of(operation: Operation) -> Follow:
    """The rule of an operation: that of its name, else of one of its tags, else that what is not known is held."""
    by_name, by_tag = _tables()
    if operation.name in by_name:
        return by_name[operation.name]
    tagged = (by_tag[tag] for tag in operation.function.tags if tag in by_tag)
    return next(tagged, hold)


@functools.cache
def _tables() -> tuple[dict[str, Follow], dict[object, Follow]]:
    by_name: dict[str, Follow] = {}
    by_tag: dict[object, Follow] = {}
    for rule in _rules():
        for name in rule.operations:
            by_name[name] = rule.follow
        if rule.tag is not None:
            by_tag[rule.tag] = rule.follow
    return by_name, by_tag


def _rules() -> Iterator[Rule]:
    for family in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{family.name}")
        for value in vars(module).values():
            if isinstance(value, Rule):
                yield value
