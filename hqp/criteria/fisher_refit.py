"""Fisher OBD, which says how many channels of a group go, in the order in which a refit misses them least.

A channel that others can stand in for goes before one that says something of its own, as the refit will have it.
Source of the order: E. Kurtic et al., "ZipLM", arXiv 2302.04089 (2023).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hqp.criteria import sensitivity_of
from hqp.records import Group, Statistics

needs = ("sensitivity", "redundancy")


def score(group: Group, statistics: Statistics, *, per: str = "filter") -> npt.NDArray[np.float64]:
    """The losses of ``fisher_obd``, shape (group.channels,), the least for the channel that is missed least.

    A group whose order is not known keeps them as they are.
    """
    losses = sensitivity_of(group, statistics.fisher_obd, per)
    order = statistics.order.get(group.name)
    if order is None:
        return losses
    dealt = np.empty_like(losses)
    dealt[list(order)] = np.sort(losses)
    return dealt
