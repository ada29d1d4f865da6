"""The absolute batch-norm scale |γ| of a channel: what normalisation scales down is held to matter least.

Source: Z. Liu et al., "Learning Efficient Convolutional Networks through Network Slimming", arXiv 1708.06519 (2017).
Network slimming, like its successors, says nothing of channels without a batch normalisation, such as those inside
squeeze-and-excitation: they are not pruned.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hqp.criteria import mean_over
from hqp.records import Group, Statistics

needs: tuple[str, ...] = ()


def score(group: Group, statistics: Statistics) -> npt.NDArray[np.float64]:
    """The mean |γ| over the normalisations of each channel, shape (group.channels,); +inf, so never, without one."""
    if not any(member.role == "norm" and member.layer in statistics.gammas for member in group.members):
        return np.full(group.channels, np.inf)
    return mean_over(group, {name: np.abs(values) for name, values in statistics.gammas.items()}, role="norm")
