"""The norm of a filter's weights: small filters are held to matter least.

Source: H. Li et al., "Pruning Filters for Efficient ConvNets", arXiv 1608.08710 (2016), for the L1 norm.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hqp.criteria import mean_over, scaled
from hqp.errors import UnknownName
from hqp.records import Group, Statistics

needs: tuple[str, ...] = ()

ORDERS = {"l1": 1, "l2": 2}


def score(
    group: Group, statistics: Statistics, *, norm: str = "l1", per_layer: bool = False
) -> npt.NDArray[np.float64]:
    """The mean norm of the filters that go with each channel, shape (group.channels,).

    ``per_layer`` divides each filter's norm by the mean norm of its layer, so that layers of different scale compare.

    Raises:
        UnknownName: ``norm`` is neither ``l1`` nor ``l2``.
    """
    if norm not in ORDERS:
        raise UnknownName("norm", norm, ORDERS, fix='norm="l1"')
    filters = [member.layer for member in group.members if member.role == "filter"]
    norms = {name: np.linalg.norm(statistics.weights[name], ORDERS[norm], axis=1) for name in filters}
    return mean_over(group, {name: scaled(values) for name, values in norms.items()} if per_layer else norms)
