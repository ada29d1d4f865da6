"""The Fisher sensitivity S of a filter: how much the loss would move, from the squared gradient of each sample.

Source: D. Gopalan, R. Ali, arXiv 2602.06069 (2026), section on sensitivity.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hqp.criteria import mean_over
from hqp.records import Group, Statistics

needs = ("fisher",)


def score(group: Group, statistics: Statistics) -> npt.NDArray[np.float64]:
    """The mean S of the filters that go with each channel, shape (group.channels,)."""
    return mean_over(group, statistics.fisher)
