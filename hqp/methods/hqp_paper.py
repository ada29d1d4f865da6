"""Algorithm 1 of the paper to the letter, then INT8 calibrated by KL divergence; nothing is verified after it.

Source: D. Gopalan, R. Ali, arXiv 2602.06069 (2026).
"""

from hqp.records import Pruning, Quantization, Ranking, Recipe

recipe = Recipe(
    pruning=Pruning(rankings=(Ranking("fisher"),), search="linear", confidence=None),
    quantization=Quantization(calibrations=("kl",)),
    objective="sparsity",
)
