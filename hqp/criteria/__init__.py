"""Criteria: one file each.

A file defines

* ``needs``: what beyond the weights must be measured: ``()``, or of ``"sensitivity"`` and
  ``"redundancy"``, in which order the channels of a group are missed least, those that it asks for;
* ``score(group: Group, statistics: Statistics, **options) -> ndarray``: one number per channel of a dependency group,
  float64 of shape (group.channels,); the lowest is pruned first. Options are keyword-only.

All criteria here score a channel by the mean over the filters that go with it, the loss per filter removed, so that the
criterion alone differs between methods and groups of different size can be ranked in one list. A ranking with the
option ``per="mac"`` or ``per="us"`` wants the whole loss of a channel instead: the engine ranks by it over the
multiply-adds, or the microseconds on the device, that go with the channel, of what is left by then.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from hqp.errors import UnknownName
from hqp.records import SAVED, Group

PER = ("filter", "layer", *SAVED)


def sensitivity_of(group: Group, values: Mapping[str, npt.NDArray[np.float64]], per: str) -> npt.NDArray[np.float64]:
    """The sensitivity of each channel of a group, shape (group.channels,), from that of its filters, ``values``.

    ``filter``: the mean over its filters. ``layer``: the same, each filter's divided by the mean of its layer, so that
    layers of different scale compare. ``mac`` and ``us``: their sum, all that is lost with the channel.

    Raises:
        UnknownName: ``per`` is none of these.
    """
    if per not in PER:
        raise UnknownName("scale", per, PER, fix='per="filter"')
    if per == "layer":
        return mean_over(group, {name: scaled(one) for name, one in values.items()})
    mean = mean_over(group, values)
    return mean if per == "filter" else mean * [group.filters(channel) for channel in range(group.channels)]


def scaled(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Values over their mean; a layer of zeros has no scale and stays at zero, the first to go."""
    mean = values.mean()
    return values / mean if mean else values


def mean_over(
    group: Group, values: Mapping[str, npt.NDArray[np.float64]], role: str = "filter"
) -> npt.NDArray[np.float64]:
    """The mean of per-channel ``values`` over the group's layers of a role: shape (group.channels,).

    Layers without a value are left out; a channel that has none scores NaN.
    """
    total, count = np.zeros(group.channels), np.zeros(group.channels)
    for member in group.members:
        if member.role == role and member.layer in values:
            value = values[member.layer]
            total += [value[list(channels)].sum() for channels in member.channels]
            count += [len(channels) for channels in member.channels]
    with np.errstate(invalid="ignore"):
        return np.asarray(total / np.where(count, count, np.nan))
