"""One calibration for all files of a search, chosen on the first of them.

To choose takes a file of each calibration, and a pass of each over calibration images: half of what a file takes. Along
one pruning path the choice hardly moves.
"""

from __future__ import annotations

from dataclasses import replace

from hqp.compress.search.draft import Draft


def settle(draft: Draft) -> None:
    """Has all candidates take the calibration that is the nearest to FP32 for the one that the bound accepts; once."""
    quantization = draft.job.recipe.quantization
    if draft.settled or quantization is None or len(quantization.calibrations) == 1 or not draft.accepted:
        return
    chosen = draft.candidates.calibrated(draft.by_step[draft.accepted])
    assert chosen is not None
    draft.settled = replace(chosen, steps=draft.accepted)
    # The file that was compared is there already.
    draft.by_step = [
        candidate if step == draft.accepted else candidate.calibrated_by(chosen.calibration)
        for step, candidate in enumerate(draft.by_step)
    ]
