"""As hqp, in FP32: pruning and recovery only."""

from hqp.records import Pruning, Ranking, Recipe, Recovery

recipe = Recipe(
    summary="pruned by Fisher sensitivity and refitted under the bound, FP32",
    pruning=Pruning(rankings=(Ranking("fisher_obd"),), images=1_000, recovery=Recovery()),
)
