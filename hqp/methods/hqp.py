"""Fisher pruning under the bound, then INT8, verified on the exported file.

Where INT8 breaks the bound, pruning steps are given back until it holds.
"""

from hqp.records import Pruning, Quantization, Ranking, Recipe

recipe = Recipe(
    summary="pruned by Fisher sensitivity, INT8, the exported file verified under the bound",
    pruning=Pruning(rankings=(Ranking("fisher"),)),
    quantization=Quantization(),
    give_back=True,
)
