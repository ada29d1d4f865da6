"""The Fisher sensitivity S of a filter: how much the loss would move, from the squared gradient of each sample.

Source: D. Gopalan, R. Ali, arXiv 2602.06069 (2026), section on sensitivity.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hqp.criteria import sensitivity_of
from hqp.records import Group, Statistics

needs = ("sensitivity",)


def score(group: Group, statistics: Statistics, *, per: str = "filter") -> npt.NDArray[np.float64]:
    """S of each channel, shape (group.channels,), ``per`` what ``sensitivity_of`` says."""
    return sensitivity_of(group, statistics.fisher, per)
