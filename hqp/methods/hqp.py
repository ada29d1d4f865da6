"""Fisher pruning under the bound with closed-form recovery, then INT8, verified and certified on the exported file.

Where INT8 breaks the bound, pruning steps are given back until it holds.
"""

from hqp.records import Pruning, Quantization, Ranking, Recipe, Recovery

recipe = Recipe(
    pruning=Pruning(rankings=(Ranking("fisher_refit", per="mac"),), images=1_000, recovery=Recovery(), blocks=True),
    quantization=Quantization(by_layer=True),
    give_back=True,
    beside_dense=True,
    alpha=0.05,
)
