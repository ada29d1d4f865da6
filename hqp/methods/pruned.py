"""As hqp, in FP32: pruning and recovery only."""

from hqp.records import Pruning, Ranking, Recipe, Recovery

recipe = Recipe(
    pruning=Pruning(rankings=(Ranking("fisher_refit", per="mac"),), images=1_000, recovery=Recovery()),
)
