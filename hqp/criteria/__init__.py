"""Criteria: one file each.

A file defines

* ``needs``: what beyond the weights must be collected: ``()`` or ``("fisher",)``;
* ``score(group: Group, statistics: Statistics, **options) -> ndarray``: one number per channel of a dependency group,
  float64 of shape (group.channels,); the lowest is pruned first. Options are keyword-only.

All criteria here score a channel by the mean over the filters that go with it, the loss per filter removed, so that the
criterion alone differs between methods and groups of different size can be ranked in one list.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from hqp.records import Group


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
