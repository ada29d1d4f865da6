"""Batch-norm scale pruning under the same bound with the same recovery and the same INT8."""

from hqp.records import Pruning, Quantization, Ranking, Recipe, Recovery

recipe = Recipe(
    pruning=Pruning(rankings=(Ranking("bn_gamma"),), recovery=Recovery()),
    quantization=Quantization(),
    give_back=True,
    alpha=0.05,
)
