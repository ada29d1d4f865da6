"""Fisher pruning proper: the squared product of a filter's weights and their gradient, sample by sample.

With the Fisher information for the curvature that is twice the loss which removing the filter costs.
Source: L. Theis et al., "Faster gaze prediction with dense networks and Fisher pruning", arXiv 1801.05787 (2018).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hqp.criteria import sensitivity_of
from hqp.records import Group, Statistics

needs = ("sensitivity",)


def score(group: Group, statistics: Statistics, *, per: str = "filter") -> npt.NDArray[np.float64]:
    """That product of each channel, shape (group.channels,), ``per`` what ``sensitivity_of`` says."""
    return sensitivity_of(group, statistics.fisher_obd, per)
